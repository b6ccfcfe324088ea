export {
  createEmbeddedBucket,
  DEFAULT_LIMITS,
  type EmbeddedBucket,
  type EmbeddedBucketOptions,
  type RunningBucket,
  startEmbeddedBucket,
} from './endpoint.ts';
