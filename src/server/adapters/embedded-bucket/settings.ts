/** Buckets and their settings: what S3 clients ask before they do anything else. */
import type { Authenticated } from './authentication.ts';
import { receiveText } from './body.ts';
import { parseCors } from './cors.ts';
import { S3Error } from './errors.ts';
import { xmlAnswer } from './objects.ts';
import type { S3Request } from './request.ts';
import type { Answer, Shelf } from './shelf.ts';
import { children, childText, parseXml, renderXml } from './xml.ts';

const LARGEST_SETTING = 64 * 1024;
const NOTHING: Answer = { status: 200, headers: {} };

export function listBuckets(shelf: Shelf): Answer {
  const buckets = shelf.catalogue.buckets.all();
  return xmlAnswer(
    renderXml('ListAllMyBucketsResult', {
      Owner: { ID: 'zeroreel', DisplayName: 'zeroreel' },
      Buckets: {
        Bucket: buckets.map(({ name, createdAt }) => ({ Name: name, CreationDate: new Date(createdAt).toISOString() })),
      },
    }),
  );
}

/** S3's naming rules, less what only matters for host names. */
export function requireBucketName(name: string): void {
  if (!/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/.test(name)) {
    throw new S3Error('InvalidBucketName', 'expected 3 to 63 of a-z, 0-9, dot and hyphen');
  }
}

export async function createBucket(shelf: Shelf, request: S3Request, authenticated: Authenticated): Promise<Answer> {
  requireBucketName(request.bucket);
  await receiveText(request, authenticated, shelf.limits, LARGEST_SETTING);
  const { changes } = await shelf.commits.add(() => shelf.catalogue.addBucket.run(request.bucket, shelf.clock.now()));
  if (changes === 0) throw new S3Error('BucketAlreadyOwnedByYou', 'the bucket exists');
  return { status: 200, headers: { location: `/${request.bucket}` } };
}

export async function deleteBucket(shelf: Shelf, request: S3Request): Promise<Answer> {
  await shelf.commits.add(() => {
    const { catalogue } = shelf;
    if (catalogue.anyObject.get(request.bucket) ?? catalogue.anyUpload.get(request.bucket)) {
      throw new S3Error('BucketNotEmpty', 'the bucket holds objects or unfinished uploads');
    }
    catalogue.dropBucket.run(request.bucket);
  });
  return { status: 204, headers: {} };
}

export function getLocation(): Answer {
  return xmlAnswer(renderXml('LocationConstraint', ''));
}

/** An absent status means that the bucket never had versioning, which is so here for every bucket. */
export function getVersioning(): Answer {
  return xmlAnswer(renderXml('VersioningConfiguration', ''));
}

export async function putVersioning(shelf: Shelf, request: S3Request, authenticated: Authenticated): Promise<Answer> {
  parseXml(await receiveText(request, authenticated, shelf.limits, LARGEST_SETTING), 'VersioningConfiguration');
  throw new S3Error('NotImplemented', 'versioning is not implemented: what is deleted here is gone');
}

export function getObjectLock(): Answer {
  throw new S3Error('ObjectLockConfigurationNotFoundError', 'the bucket has no object lock');
}

export function getCors(shelf: Shelf, request: S3Request): Answer {
  const { cors } = shelf.requireBucket(request.bucket);
  if (cors === null) throw new S3Error('NoSuchCORSConfiguration', 'the bucket has no cross-origin rules');
  return xmlAnswer(cors);
}

export async function putCors(shelf: Shelf, request: S3Request, authenticated: Authenticated): Promise<Answer> {
  const document = await receiveText(request, authenticated, shelf.limits, LARGEST_SETTING);
  parseCors(document);
  await shelf.commits.add(() => shelf.catalogue.setCors.run(document, request.bucket));
  return NOTHING;
}

export async function deleteCors(shelf: Shelf, request: S3Request): Promise<Answer> {
  await shelf.commits.add(() => shelf.catalogue.setCors.run(null, request.bucket));
  return { status: 204, headers: {} };
}

export function getLifecycle(shelf: Shelf, request: S3Request): Answer {
  const { lifecycle } = shelf.requireBucket(request.bucket);
  if (lifecycle === null) throw new S3Error('NoSuchLifecycleConfiguration', 'the bucket has no lifecycle rules');
  return xmlAnswer(lifecycle);
}

/** Rules are kept and given back, not carried out: the purge is the server's own, and a backstop at whole days is the operator's. */
export async function putLifecycle(shelf: Shelf, request: S3Request, authenticated: Authenticated): Promise<Answer> {
  const document = await receiveText(request, authenticated, shelf.limits, LARGEST_SETTING);
  const rules = children(parseXml(document, 'LifecycleConfiguration'), 'Rule');
  if (rules.length === 0 || rules.some((rule) => !/^(?:Enabled|Disabled)$/.test(childText(rule, 'Status') ?? ''))) {
    throw new S3Error('MalformedXML', 'expected rules, each enabled or disabled');
  }
  await shelf.commits.add(() => shelf.catalogue.setLifecycle.run(document, request.bucket));
  return NOTHING;
}

export async function deleteLifecycle(shelf: Shelf, request: S3Request): Promise<Answer> {
  await shelf.commits.add(() => shelf.catalogue.setLifecycle.run(null, request.bucket));
  return { status: 204, headers: {} };
}
