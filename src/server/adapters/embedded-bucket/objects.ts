/** GET, HEAD, PUT and DELETE of single objects, and DeleteObjects. */
import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';
import type { Authenticated } from './authentication.ts';
import { type ReceivedBody, receiveFile, receiveText } from './body.ts';
import type { FileRow, ObjectRow, StoredHeaders } from './catalogue.ts';
import { S3Error } from './errors.ts';
import { folderOf } from './folder.ts';
import { header, parameter, type S3Request } from './request.ts';
import type { Answer, Shelf } from './shelf.ts';
import { children, childText, parseXml, renderXml } from './xml.ts';

/** Headers that an object keeps and gives back, besides `x-amz-meta-*`. */
const KEPT = [
  'cache-control',
  'content-disposition',
  'content-encoding',
  'content-language',
  'content-type',
  'expires',
];
/** What the metadata of one object may weigh, in bytes. */
const LARGEST_METADATA = 8 * 1024;
/** S3 takes this many keys in one DeleteObjects. */
const LARGEST_BATCH = 1_000;
/** Bytes read at once: what one reader holds in memory, with as much again in the stream. */
const READ_SIZE = 512 * 1024;
const LARGEST_DOCUMENT = 4 * 1024 * 1024;

export function folderFor(bucket: string, key: string): string {
  return folderOf(
    createHash('sha256')
      .update(`${bucket}/${key.split('/', 1)[0]!}`)
      .digest('hex'),
  );
}

export function keptHeaders(request: S3Request): string {
  const kept: StoredHeaders = {};
  for (const name of KEPT) {
    const value = header(request, name);
    if (value !== undefined) kept[name] = value;
  }
  // `aws-chunked` is how the body travelled, not what it is.
  const codings = kept['content-encoding']?.split(',').map((coding) => coding.trim());
  const lasting = codings?.filter((coding) => coding !== 'aws-chunked') ?? [];
  delete kept['content-encoding'];
  if (lasting.length > 0) kept['content-encoding'] = lasting.join(',');
  for (const name in request.http.headers) {
    if (name.startsWith('x-amz-meta-')) kept[name] = header(request, name)!;
  }
  const text = JSON.stringify(kept);
  if (text.length > LARGEST_METADATA) throw new S3Error('InvalidRequest', 'the metadata is too large');
  return text;
}

/**
 * The entity tag. It is the MD5 only where the body was hashed with MD5 anyhow; a body that was pinned by its SHA-256 has half of
 * that, in the form of a multipart upload's tag, which tells every client that it is no MD5. It spares a pass over the bytes.
 */
export function entityTag(received: ReceivedBody): string {
  return received.md5 ?? `${received.sha256!.slice(0, 32)}-1`;
}

/** `If-None-Match: *` and `If-Match`, as S3 has them for writes. Throws `S3Error` where the condition fails. */
export function checkWriteConditions(shelf: Shelf, request: S3Request): void {
  const ifNoneMatch = header(request, 'if-none-match');
  const ifMatch = header(request, 'if-match');
  if (ifNoneMatch === undefined && ifMatch === undefined) return;
  const found = shelf.catalogue.object.get(request.bucket, request.key);
  if (ifNoneMatch !== undefined) {
    if (ifNoneMatch !== '*') throw new S3Error('NotImplemented', 'expected if-none-match: *');
    if (found) throw new S3Error('PreconditionFailed', 'the object exists');
  }
  if (ifMatch !== undefined) {
    if (!found) throw new S3Error('NoSuchKey', 'the object does not exist');
    if (!isTagIn(ifMatch, found.etag)) throw new S3Error('PreconditionFailed', 'the object is another one');
  }
}

export async function putObject(shelf: Shelf, request: S3Request, authenticated: Authenticated): Promise<Answer> {
  if (header(request, 'x-amz-copy-source') !== undefined)
    throw new S3Error('NotImplemented', 'copying is not implemented');
  const { bucket, key } = request;
  // Early, to spare the upload; what counts is the same check inside the transaction.
  checkWriteConditions(shelf, request);
  const headers = keptHeaders(request);
  const incoming = await shelf.folder.receive(folderFor(bucket, key));
  try {
    const received = await receiveFile(request, authenticated, incoming.handle, shelf.limits);
    await incoming.handle.close();
    const { body, number, folder, name } = incoming;
    const { bytes } = received;
    const etag = entityTag(received);
    const isOverwrite = await shelf.commits.add(() => {
      checkWriteConditions(shelf, request);
      shelf.requireBucket(bucket);
      const modifiedAt = shelf.clock.now();
      const wasThere = shelf.catalogue.removeObject(bucket, key);
      shelf.catalogue.putFile.run({ body, number, folder, name, bytes, etag, modifiedAt });
      shelf.catalogue.putObject.run({ bucket, key, body, bytes, etag, modifiedAt, headers });
      return wasThere;
    }, incoming);
    if (isOverwrite) await shelf.unlinkDoomed();
    return { status: 200, headers: { etag: `"${etag}"` } };
  } catch (error) {
    await shelf.folder.discard(incoming);
    throw error;
  }
}

export function getObject(shelf: Shelf, request: S3Request): Answer {
  requireNoVersion(request);
  const found = shelf.catalogue.object.get(request.bucket, request.key);
  if (!found) throw new S3Error('NoSuchKey', 'the object does not exist');
  const headers: Record<string, string> = {
    'content-type': 'binary/octet-stream',
    ...(JSON.parse(found.headers) as StoredHeaders),
    'accept-ranges': 'bytes',
    etag: `"${found.etag}"`,
    'last-modified': new Date(found.modifiedAt).toUTCString(),
  };
  for (const name of KEPT) {
    const override = parameter(request, `response-${name}`);
    if (override !== undefined) headers[name] = override;
  }
  const ifMatch = header(request, 'if-match');
  if (ifMatch !== undefined && !isTagIn(ifMatch, found.etag))
    throw new S3Error('PreconditionFailed', 'the object is another one');
  const ifNoneMatch = header(request, 'if-none-match');
  if (ifNoneMatch !== undefined && isTagIn(ifNoneMatch, found.etag))
    return { status: 304, headers: { etag: `"${found.etag}"` } };

  const range = parseRange(header(request, 'range'), found.bytes);
  const { from, to } = range ?? { from: 0, to: found.bytes - 1 };
  headers['content-length'] = String(to - from + 1);
  if (range) headers['content-range'] = `bytes ${from}-${to}/${found.bytes}`;
  return {
    status: range ? 206 : 200,
    headers,
    ...(request.method === 'GET' && { body: readBody(shelf, found, from, to) }),
  };
}

/** Bytes `from` to `to` inclusive. A delete in the middle makes the rest unreadable, which ends the answer early. */
async function* readBody(shelf: Shelf, object: ObjectRow, from: number, to: number): AsyncGenerator<Buffer> {
  let at = 0;
  for (const file of shelf.catalogue.files.all(object.body)) {
    const [first, last] = [Math.max(from - at, 0), Math.min(to - at, file.bytes - 1)];
    if (first <= last) yield* readFile(shelf, file, first, last);
    at += file.bytes;
    if (at > to) return;
  }
}

async function* readFile(shelf: Shelf, file: FileRow, first: number, last: number): AsyncGenerator<Buffer> {
  const handle = await open(shelf.folder.pathOf(file), 'r');
  try {
    for (let at = first; at <= last;) {
      const wanted = Math.min(last - at + 1, READ_SIZE);
      const { buffer, bytesRead } = await handle.read(Buffer.allocUnsafe(wanted), 0, wanted, at);
      if (bytesRead === 0) throw new Error(`expected ${file.bytes} bytes in a file, found ${at}`);
      yield buffer.subarray(0, bytesRead);
      at += bytesRead;
    }
  } finally {
    await handle.close();
  }
}

/** A single byte range, undefined where the whole is meant: RFC 9110 section 14.2 lets a server ignore what it cannot parse. */
function parseRange(text: string | undefined, bytes: number): { from: number; to: number } | undefined {
  const match = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(text ?? '');
  if (!match || (match[1] === '' && match[2] === '')) return undefined;
  const [first, last] = [match[1]!, match[2]!];
  const from = first === '' ? Math.max(bytes - Number(last), 0) : Number(first);
  const to = first === '' || last === '' ? bytes - 1 : Math.min(Number(last), bytes - 1);
  if (first !== '' && last !== '' && Number(last) < Number(first)) return undefined;
  if (from >= bytes || (first === '' && Number(last) === 0))
    throw new S3Error('InvalidRange', `the object has ${bytes} bytes`);
  return { from, to };
}

function isTagIn(list: string, etag: string): boolean {
  return list.split(',').some((item) => {
    const tag = item.trim();
    return tag === '*' || tag === etag || tag === `"${etag}"`;
  });
}

/** Without versioning, every object is its own only version, whose id is `null`. */
function requireNoVersion(request: S3Request): void {
  const versionId = parameter(request, 'versionId');
  if (versionId !== undefined && versionId !== 'null') throw new S3Error('NoSuchVersion', 'the version does not exist');
}

export async function deleteObject(shelf: Shelf, request: S3Request): Promise<Answer> {
  requireNoVersion(request);
  const { bucket, key } = request;
  const wasThere = await shelf.commits.add(() => shelf.catalogue.removeObject(bucket, key));
  if (wasThere) await shelf.unlinkDoomed();
  return { status: 204, headers: {} };
}

export async function deleteObjects(shelf: Shelf, request: S3Request, authenticated: Authenticated): Promise<Answer> {
  const text = await receiveText(request, authenticated, shelf.limits, LARGEST_DOCUMENT);
  const document = parseXml(text, 'Delete');
  const isQuiet = childText(document, 'Quiet') === 'true';
  const targets = children(document, 'Object').map((node) => {
    const key = childText(node, 'Key');
    if (key === undefined || key === '') throw new S3Error('MalformedXML', 'expected a key in every object');
    return { key, versionId: childText(node, 'VersionId') };
  });
  if (targets.length === 0 || targets.length > LARGEST_BATCH) {
    throw new S3Error('MalformedXML', `expected 1 to ${LARGEST_BATCH} keys, found ${targets.length}`);
  }
  const isOurs = ({ versionId }: { versionId: string | undefined }): boolean =>
    versionId === undefined || versionId === '' || versionId === 'null';
  await shelf.commits.add(() => {
    for (const target of targets) if (isOurs(target)) shelf.catalogue.removeObject(request.bucket, target.key);
  });
  await shelf.unlinkDoomed();
  const deleted = isQuiet
    ? []
    : targets.filter(isOurs).map(({ key, versionId }) => ({ Key: key, VersionId: versionId }));
  const errors = targets
    .filter((target) => !isOurs(target))
    .map(({ key, versionId }) => ({
      Key: key,
      VersionId: versionId,
      Code: 'NoSuchVersion',
      Message: 'the version does not exist',
    }));
  return xmlAnswer(renderXml('DeleteResult', { Deleted: deleted, Error: errors }));
}

export function xmlAnswer(document: string): Answer {
  return { status: 200, headers: { 'content-type': 'application/xml' }, body: document };
}
