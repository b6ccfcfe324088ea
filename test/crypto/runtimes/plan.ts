/** Entry of the bundle that Chromium and workerd run: the files, loaded when `runAll` is called and not before. */
import { runFiles, type RuntimeReport } from './frame.ts';

const FILES = {
  'known answers': () => import('../seal/protocol-v1.test.ts'),
  'known records': () => import('../format/records-v1.test.ts'),
  'hostile inputs': () => import('../seal/hostile.test.ts'),
  'public suites': () => import('../seal/public-suites.test.ts'),
  'strict ed25519': () => import('../format/ed25519.test.ts'),
  'boundary sizes': () => import('../seal/sizes.test.ts'),
};

export function runAll(): Promise<RuntimeReport> {
  return runFiles(FILES);
}
