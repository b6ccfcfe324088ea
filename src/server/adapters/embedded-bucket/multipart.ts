/**
 * Multipart uploads. A part is a file with the upload's id as its body; completing turns that body into the object's, by
 * index rows alone, so that no byte is copied.
 */
import { createHash, randomBytes } from 'node:crypto';
import type { Authenticated } from './authentication.ts';
import { receiveFile, receiveText } from './body.ts';
import { AFTER_EVERYTHING, type FileRow, type UploadRow } from './catalogue.ts';
import { S3Error } from './errors.ts';
import { checkWriteConditions, entityTag, folderFor, keptHeaders, xmlAnswer } from './objects.ts';
import { countParameter, parameter, type S3Request } from './request.ts';
import type { Answer, Shelf } from './shelf.ts';
import { children, childText, parseXml, renderXml } from './xml.ts';

const PAGE = 1_000;
const MOST_PARTS = 10_000;
/** Every part but the last has at least 5 MiB. */
const SMALLEST_PART = 5 * 1024 * 1024;
const LARGEST_DOCUMENT = 2 * 1024 * 1024;

function requireUpload(shelf: Shelf, request: S3Request): UploadRow {
  const found = shelf.catalogue.upload.get(request.bucket, request.key, parameter(request, 'uploadId') ?? '');
  if (!found) throw new S3Error('NoSuchUpload', 'the upload does not exist: it was completed, aborted or never begun');
  return found;
}

export async function createUpload(shelf: Shelf, request: S3Request): Promise<Answer> {
  const { bucket, key } = request;
  const id = randomBytes(16).toString('hex');
  const headers = keptHeaders(request);
  await shelf.commits.add(() => {
    shelf.requireBucket(bucket);
    shelf.catalogue.addUpload.run({ bucket, key, id, initiatedAt: shelf.clock.now(), headers });
  });
  return xmlAnswer(renderXml('InitiateMultipartUploadResult', { Bucket: bucket, Key: key, UploadId: id }));
}

export async function uploadPart(shelf: Shelf, request: S3Request, authenticated: Authenticated): Promise<Answer> {
  if (request.http.headers['x-amz-copy-source'] !== undefined) {
    throw new S3Error('NotImplemented', 'copying is not implemented');
  }
  const number = Number(parameter(request, 'partNumber'));
  if (!Number.isInteger(number) || number < 1 || number > MOST_PARTS) {
    throw new S3Error('InvalidArgument', `expected a part number from 1 to ${MOST_PARTS}`);
  }
  const { id } = requireUpload(shelf, request);
  const incoming = await shelf.folder.receive(folderFor(request.bucket, request.key), id, number);
  try {
    const received = await receiveFile(request, authenticated, incoming.handle, shelf.limits);
    await incoming.handle.close();
    const etag = entityTag(received);
    const { folder, name } = incoming;
    const isOverwrite = await shelf.commits.add(() => {
      // An upload that was aborted while its part was under way stays aborted.
      requireUpload(shelf, request);
      const wasThere = shelf.catalogue.doomFile.run(id, number).changes > 0;
      const modifiedAt = shelf.clock.now();
      shelf.catalogue.putFile.run({ body: id, number, folder, name, bytes: received.bytes, etag, modifiedAt });
      return wasThere;
    }, incoming);
    if (isOverwrite) await shelf.unlinkDoomed();
    return { status: 200, headers: { etag: `"${etag}"` } };
  } catch (error) {
    await shelf.folder.discard(incoming);
    throw error;
  }
}

/** The parts that a CompleteMultipartUpload names, in order. */
function parseParts(document: string): { number: number; etag: string }[] {
  const parts = children(parseXml(document, 'CompleteMultipartUpload'), 'Part').map((node) => ({
    number: Number(childText(node, 'PartNumber')),
    etag: (childText(node, 'ETag') ?? '').replaceAll('"', ''),
  }));
  if (parts.length === 0 || parts.length > MOST_PARTS)
    throw new S3Error('MalformedXML', `expected 1 to ${MOST_PARTS} parts`);
  if (parts.some(({ number }, at) => at > 0 && number <= parts[at - 1]!.number)) {
    throw new S3Error('InvalidPartOrder', 'expected the parts in ascending order');
  }
  return parts;
}

/** As S3 makes it: the MD5 of the parts' tags, and their count. */
function tagOfParts(files: readonly FileRow[]): string {
  const hash = createHash('md5');
  for (const { etag } of files) hash.update(etag.slice(0, 32), 'hex');
  return `${hash.digest('hex')}-${files.length}`;
}

export async function completeUpload(shelf: Shelf, request: S3Request, authenticated: Authenticated): Promise<Answer> {
  const { bucket, key } = request;
  const parts = parseParts(await receiveText(request, authenticated, shelf.limits, LARGEST_DOCUMENT));
  const etag = await shelf.commits.add(() => {
    const { catalogue } = shelf;
    const upload = requireUpload(shelf, request);
    checkWriteConditions(shelf, request);
    const uploaded = new Map(catalogue.files.all(upload.id).map((file) => [file.number, file]));
    const files = parts.map((part, at) => {
      const file = uploaded.get(part.number);
      if (file?.etag !== part.etag) throw new S3Error('InvalidPart', `part ${part.number} is missing or another one`);
      if (file.bytes < SMALLEST_PART && at < parts.length - 1) {
        throw new S3Error('EntityTooSmall', `expected at least ${SMALLEST_PART} bytes in part ${part.number}`);
      }
      uploaded.delete(part.number);
      return file;
    });
    for (const { number } of uploaded.values()) {
      catalogue.doomFile.run(upload.id, number);
      catalogue.deleteFile.run(upload.id, number);
    }
    catalogue.removeObject(bucket, key);
    catalogue.deleteUpload.run(bucket, key, upload.id);
    const tag = tagOfParts(files);
    catalogue.putObject.run({
      bucket,
      key,
      body: upload.id,
      bytes: files.reduce((sum, file) => sum + file.bytes, 0),
      etag: tag,
      modifiedAt: shelf.clock.now(),
      headers: upload.headers,
    });
    return tag;
  });
  await shelf.unlinkDoomed();
  return xmlAnswer(
    renderXml('CompleteMultipartUploadResult', { Location: request.path, Bucket: bucket, Key: key, ETag: `"${etag}"` }),
  );
}

export async function abortUpload(shelf: Shelf, request: S3Request): Promise<Answer> {
  await shelf.commits.add(() => {
    const { id } = requireUpload(shelf, request);
    shelf.catalogue.removeBody(id);
    shelf.catalogue.deleteUpload.run(request.bucket, request.key, id);
  });
  await shelf.unlinkDoomed();
  return { status: 204, headers: {} };
}

export function listParts(shelf: Shelf, request: S3Request): Answer {
  const { id } = requireUpload(shelf, request);
  const most = countParameter(request, 'max-parts', PAGE);
  const marker = Number(parameter(request, 'part-number-marker') ?? 0);
  if (!Number.isInteger(marker)) throw new S3Error('InvalidArgument', 'expected a whole number in part-number-marker');
  const files = shelf.catalogue.filesAfter.all(id, marker, most + 1);
  const shown = files.slice(0, most);
  const isTruncated = files.length > most && most > 0;
  return xmlAnswer(
    renderXml('ListPartsResult', {
      Bucket: request.bucket,
      Key: request.key,
      UploadId: id,
      PartNumberMarker: marker,
      NextPartNumberMarker: isTruncated ? shown.at(-1)!.number : undefined,
      MaxParts: most,
      IsTruncated: isTruncated,
      Part: shown.map(({ number, bytes, etag, modifiedAt }) => ({
        PartNumber: number,
        LastModified: new Date(modifiedAt).toISOString(),
        ETag: `"${etag}"`,
        Size: bytes,
      })),
    }),
  );
}

export function listUploads(shelf: Shelf, request: S3Request): Answer {
  const prefix = parameter(request, 'prefix') ?? '';
  if ((parameter(request, 'delimiter') ?? '') !== '') throw new S3Error('NotImplemented', 'expected no delimiter');
  const most = countParameter(request, 'max-uploads', PAGE);
  const keyMarker = parameter(request, 'key-marker') ?? '';
  const idMarker = parameter(request, 'upload-id-marker') ?? '';
  // Without an id the marker is behind every upload of its key.
  const after = idMarker === '' && keyMarker !== '' ? AFTER_EVERYTHING : idMarker;
  const { catalogue } = shelf;
  const uploads = catalogue.uploadsAfter.all(
    request.bucket,
    prefix,
    prefix + AFTER_EVERYTHING,
    keyMarker,
    after,
    most + 1,
  );
  const shown = uploads.slice(0, most);
  const isTruncated = uploads.length > most && most > 0;
  const encodingType = parameter(request, 'encoding-type');
  const encode = (text: string): string =>
    encodingType === 'url' ? encodeURIComponent(text).replaceAll('%2F', '/') : text;
  return xmlAnswer(
    renderXml('ListMultipartUploadsResult', {
      Bucket: request.bucket,
      Prefix: encode(prefix),
      KeyMarker: encode(keyMarker),
      UploadIdMarker: idMarker,
      NextKeyMarker: isTruncated ? encode(shown.at(-1)!.key) : undefined,
      NextUploadIdMarker: isTruncated ? shown.at(-1)!.id : undefined,
      MaxUploads: most,
      EncodingType: encodingType,
      IsTruncated: isTruncated,
      Upload: shown.map(({ key, id, initiatedAt }) => ({
        Key: encode(key),
        UploadId: id,
        Initiated: new Date(initiatedAt).toISOString(),
        StorageClass: 'STANDARD',
      })),
    }),
  );
}
