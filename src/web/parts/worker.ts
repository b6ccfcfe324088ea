import { WORKER_POLICY } from '../../../schema/pages.ts';

interface ScriptUrlPolicy {
  createScriptURL(url: string): string;
}
interface TrustedTypes {
  createPolicy(name: string, rules: { createScriptURL: (url: string) => string }): ScriptUrlPolicy;
}

let policy: ScriptUrlPolicy | undefined;

/**
 * Starts a worker of this build: `startWorker(url, name)` with `import url from './some.worker.ts?worker&url'`. The page's policy demands
 * that a worker's URL comes from here (Trusted Types), and here nothing but this origin's own assets passes.
 */
export function startWorker(url: string, name: string): Worker {
  const { trustedTypes } = globalThis as { trustedTypes?: TrustedTypes };
  policy ??= trustedTypes?.createPolicy(WORKER_POLICY, { createScriptURL: requireOwnAsset }) ?? {
    createScriptURL: requireOwnAsset,
  };
  return new Worker(policy.createScriptURL(url), { type: 'module', name });
}

function requireOwnAsset(url: string): string {
  const { origin, pathname } = new URL(url, location.origin);
  if (origin !== location.origin || !/^\/assets\/[\w.-]+\.js$/.test(pathname)) {
    throw new TypeError('expected a worker of this build');
  }
  return pathname;
}
