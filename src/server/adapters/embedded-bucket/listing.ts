/** ListObjectsV2, ListObjects and ListObjectVersions over the index's B-tree: what is in memory is one page. */
import { AFTER_EVERYTHING, type ObjectRow } from './catalogue.ts';
import { S3Error } from './errors.ts';
import { xmlAnswer } from './objects.ts';
import { countParameter, parameter, type S3Request } from './request.ts';
import type { Answer, Shelf } from './shelf.ts';
import { renderXml, type XmlValue } from './xml.ts';

const PAGE = 1_000;

interface Page {
  objects: ObjectRow[];
  commonPrefixes: string[];
  /** Where the next page begins; undefined after the last. */
  next: Marker | undefined;
}

/** A position in the listing: behind one key, or behind everything under one common prefix. */
interface Marker {
  after: string;
  isPrefix: boolean;
}

function readPage(shelf: Shelf, bucket: string, prefix: string, delimiter: string, start: Marker, most: number): Page {
  const objects: ObjectRow[] = [];
  const commonPrefixes: string[] = [];
  const end = prefix + AFTER_EVERYTHING;
  let marker = start;
  while (objects.length + commonPrefixes.length <= most) {
    const wanted = most + 1 - objects.length - commonPrefixes.length;
    const after = marker.isPrefix ? marker.after + AFTER_EVERYTHING : marker.after;
    const rows = shelf.catalogue.objectsAfter.all(
      bucket,
      prefix,
      after,
      end,
      delimiter === '' ? wanted : Math.min(wanted, 64),
    );
    if (rows.length === 0) return { objects, commonPrefixes, next: undefined };
    for (const row of rows) {
      const cut = delimiter === '' ? -1 : row.key.indexOf(delimiter, prefix.length);
      const isFull = objects.length + commonPrefixes.length >= most;
      if (cut < 0) {
        if (isFull) return { objects, commonPrefixes, next: marker };
        objects.push(row);
        marker = { after: row.key, isPrefix: false };
        continue;
      }
      const common = row.key.slice(0, cut + delimiter.length);
      if (isFull) return { objects, commonPrefixes, next: marker };
      commonPrefixes.push(common);
      marker = { after: common, isPrefix: true };
      // Everything else under it is skipped by seeking, not by reading.
      break;
    }
  }
  return { objects, commonPrefixes, next: undefined };
}

function toToken(marker: Marker): string {
  return Buffer.from(`${marker.isPrefix ? 'p' : 'k'}${marker.after}`).toString('base64url');
}

function fromToken(token: string): Marker {
  const text = Buffer.from(token, 'base64url').toString('utf8');
  if (!/^[pk]/.test(text)) throw new S3Error('InvalidArgument', 'expected a continuation token that was given here');
  return { after: text.slice(1), isPrefix: text.startsWith('p') };
}

function contents(objects: readonly ObjectRow[], encode: (text: string) => string): XmlValue[] {
  return objects.map((row) => ({
    Key: encode(row.key),
    LastModified: new Date(row.modifiedAt).toISOString(),
    ETag: `"${row.etag}"`,
    Size: row.bytes,
    StorageClass: 'STANDARD',
  }));
}

/** What every listing shares: the parameters as given, and how keys are written. */
function parseListing(request: S3Request) {
  const encodingType = parameter(request, 'encoding-type');
  if (encodingType !== undefined && encodingType !== 'url')
    throw new S3Error('InvalidArgument', 'expected encoding-type url');
  return {
    prefix: parameter(request, 'prefix') ?? '',
    delimiter: parameter(request, 'delimiter') ?? '',
    most: countParameter(request, 'max-keys', PAGE),
    encodingType,
    encode: (text: string): string => (encodingType === 'url' ? encodeURIComponent(text).replaceAll('%2F', '/') : text),
  };
}

export function listObjectsV2(shelf: Shelf, request: S3Request): Answer {
  const { prefix, delimiter, most, encodingType, encode } = parseListing(request);
  const token = parameter(request, 'continuation-token');
  const startAfter = parameter(request, 'start-after');
  const start = token === undefined ? { after: startAfter ?? '', isPrefix: false } : fromToken(token);
  const page = readPage(shelf, request.bucket, prefix, delimiter, start, most);
  return xmlAnswer(
    renderXml('ListBucketResult', {
      Name: request.bucket,
      Prefix: encode(prefix),
      Delimiter: delimiter === '' ? undefined : encode(delimiter),
      StartAfter: startAfter === undefined ? undefined : encode(startAfter),
      ContinuationToken: token,
      NextContinuationToken: page.next && most > 0 ? toToken(page.next) : undefined,
      KeyCount: page.objects.length + page.commonPrefixes.length,
      MaxKeys: most,
      EncodingType: encodingType,
      IsTruncated: page.next !== undefined && most > 0,
      Contents: contents(page.objects, encode),
      CommonPrefixes: page.commonPrefixes.map((common) => ({ Prefix: encode(common) })),
    }),
  );
}

export function listObjects(shelf: Shelf, request: S3Request): Answer {
  const { prefix, delimiter, most, encodingType, encode } = parseListing(request);
  const marker = parameter(request, 'marker') ?? '';
  // The first version names the next page by a key or a common prefix, not by a token of ours.
  const isPrefix = delimiter !== '' && marker.endsWith(delimiter) && marker.startsWith(prefix);
  const page = readPage(shelf, request.bucket, prefix, delimiter, { after: marker, isPrefix }, most);
  return xmlAnswer(
    renderXml('ListBucketResult', {
      Name: request.bucket,
      Prefix: encode(prefix),
      Marker: encode(marker),
      NextMarker: page.next && most > 0 ? encode(page.next.after) : undefined,
      Delimiter: delimiter === '' ? undefined : encode(delimiter),
      MaxKeys: most,
      EncodingType: encodingType,
      IsTruncated: page.next !== undefined && most > 0,
      Contents: contents(page.objects, encode),
      CommonPrefixes: page.commonPrefixes.map((common) => ({ Prefix: encode(common) })),
    }),
  );
}

/** Without versioning each object has one version, `null`, which is what S3 says of a bucket that never had it. */
export function listObjectVersions(shelf: Shelf, request: S3Request): Answer {
  const { prefix, delimiter, most, encodingType, encode } = parseListing(request);
  const marker = parameter(request, 'key-marker') ?? '';
  const isPrefix = delimiter !== '' && marker.endsWith(delimiter) && marker.startsWith(prefix);
  const page = readPage(shelf, request.bucket, prefix, delimiter, { after: marker, isPrefix }, most);
  const isTruncated = page.next !== undefined && most > 0;
  return xmlAnswer(
    renderXml('ListVersionsResult', {
      Name: request.bucket,
      Prefix: encode(prefix),
      KeyMarker: encode(marker),
      VersionIdMarker: parameter(request, 'version-id-marker') ?? '',
      NextKeyMarker: isTruncated ? encode(page.next!.after) : undefined,
      NextVersionIdMarker: isTruncated ? 'null' : undefined,
      Delimiter: delimiter === '' ? undefined : encode(delimiter),
      MaxKeys: most,
      EncodingType: encodingType,
      IsTruncated: isTruncated,
      Version: page.objects.map((row) => ({
        Key: encode(row.key),
        VersionId: 'null',
        IsLatest: true,
        LastModified: new Date(row.modifiedAt).toISOString(),
        ETag: `"${row.etag}"`,
        Size: row.bytes,
        StorageClass: 'STANDARD',
      })),
      CommonPrefixes: page.commonPrefixes.map((common) => ({ Prefix: encode(common) })),
    }),
  );
}
