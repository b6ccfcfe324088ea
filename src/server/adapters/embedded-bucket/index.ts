export {
  createEmbeddedBucket,
  type EmbeddedBucket,
  type EmbeddedBucketOptions,
  type RunningBucket,
  startEmbeddedBucket,
} from './endpoint.ts';
