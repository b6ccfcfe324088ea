/**
 * A gate before every port: whoever runs the server through it decides at each call whether it happens, fails, or
 * happens and its answer is lost.
 */
import type { Bucket, Ports } from '../../src/server/ports.ts';

export type Door = 'store' | 'vault' | 'bucket' | 'signer';

/** `perform` does the call for real; a gate calls it once, or not at all. */
export type Gate = <T>(door: Door, call: string, perform: () => Promise<T>) => Promise<T>;

/** `pageSize`: how many listed objects come with one answer of the bucket. */
export function throughGate(ports: Ports, gate: Gate, pageSize: number): Ports {
  return {
    ...ports,
    store: guarded(ports.store, 'store', gate),
    vault: guarded(ports.vault, 'vault', gate),
    bucket: guardedBucket(ports.bucket, gate, pageSize),
  };
}

function guarded<Port extends object>(port: Port, door: Door, gate: Gate): Port {
  return new Proxy(port, {
    get: (target, name) => {
      const member = target[name as keyof Port] as unknown;
      if (typeof member !== 'function') return member;
      return (...parameters: unknown[]) =>
        gate(door, String(name), async () => (member as (...all: unknown[]) => unknown).apply(target, parameters));
    },
  });
}

function guardedBucket(bucket: Bucket, gate: Gate, pageSize: number): Bucket {
  const pages = <T>(call: string, items: AsyncIterable<T>): AsyncIterable<T> => ({
    async *[Symbol.asyncIterator]() {
      const iterator = items[Symbol.asyncIterator]();
      for (let count = 0; ; count++) {
        const item = count % pageSize === 0 ? await gate('bucket', call, () => iterator.next()) : await iterator.next();
        if (item.done === true) return;
        yield item.value;
      }
    },
  });
  return {
    presignPut: (...all) => bucket.presignPut(...all),
    presignGet: (...all) => bucket.presignGet(...all),
    list: (...all) => pages('list', bucket.list(...all)),
    listVersions: (...all) => pages('listVersions', bucket.listVersions(...all)),
    deleteVersions: (...all) => gate('bucket', 'deleteVersions', () => bucket.deleteVersions(...all)),
    abortMultiparts: (...all) => gate('bucket', 'abortMultiparts', () => bucket.abortMultiparts(...all)),
    get: (...all) => gate('bucket', 'get', () => bucket.get(...all)),
    settings: () => gate('bucket', 'settings', () => bucket.settings()),
  };
}
