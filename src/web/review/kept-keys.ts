/** Copies of key files that this browser keeps on request, as they are: locked by their passphrases. */
export interface KeptKey {
  keyIdB64: string;
  /** How its owner tells it from others. */
  label: string;
  keyFile: string;
  savedMs: number;
  /** Of the passkey that is asked for too. */
  passkey?: { credentialId: Uint8Array<ArrayBuffer> };
}

const STORE = 'keys';

export async function keptKeys(): Promise<KeptKey[]> {
  const found = await use<KeptKey[]>('readonly', (store) => store.getAll() as IDBRequest<KeptKey[]>);
  return found.sort((a, b) => b.savedMs - a.savedMs);
}

export async function keepKey(key: KeptKey): Promise<void> {
  await use('readwrite', (store) => store.put(key));
}

export async function forgetKey(keyIdB64: string): Promise<void> {
  await use('readwrite', (store) => store.delete(keyIdB64));
}

async function use<Result>(
  mode: IDBTransactionMode,
  ask: (store: IDBObjectStore) => IDBRequest<Result>,
): Promise<Result> {
  const opening = indexedDB.open('zeroreel-review', 1);
  opening.onupgradeneeded = () => opening.result.createObjectStore(STORE, { keyPath: 'keyIdB64' });
  const database = await settled(opening);
  try {
    const transaction = database.transaction(STORE, mode);
    const done = new Promise<void>((resolve, reject) => {
      transaction.oncomplete = () => {
        resolve();
      };
      transaction.onabort = () => {
        reject(transaction.error ?? new Error('the browser kept nothing'));
      };
    });
    const result = await settled(ask(transaction.objectStore(STORE)));
    await done;
    return result;
  } finally {
    database.close();
  }
}

function settled<Result>(request: IDBRequest<Result>): Promise<Result> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => {
      resolve(request.result);
    };
    request.onerror = () => {
      reject(request.error ?? new Error('the browser’s storage does not answer'));
    };
  });
}
