/** The log's word on its own keys: that another one signs from here on, and that the former one is done. Each is said once. */
import { toBase64Url } from '../../../crypto/format/bytes.ts';
import { decodeEntry, type LogEntryOf } from '../../../crypto/log/entry.ts';
import type { Clock, Signer, Store } from '../ports.ts';
import { BUCKET } from './anomaly.ts';

type KeyEntry = LogEntryOf<'log.rotated'> | LogEntryOf<'log.retired'>;

/** At a start with two keys. */
export async function announceRotation(store: Store, signer: Signer, clock: Clock): Promise<void> {
  const { former } = signer;
  if (!former) return;
  const [from, to] = [toBase64Url(former.publicKey), toBase64Url(signer.publicKey)];
  await sayOnce(store, { v: 1, type: 'log.rotated', at: clock.now(), from, to });
}

/** Answers the entry's index in the log. */
export async function announceRetirement(store: Store, former: Signer, clock: Clock): Promise<number> {
  return sayOnce(store, { v: 1, type: 'log.retired', at: clock.now(), key: toBase64Url(former.publicKey) });
}

async function sayOnce(store: Store, entry: KeyEntry): Promise<number> {
  const subject = ({ at: _, ...rest }: KeyEntry) => JSON.stringify(rest);
  for (;;) {
    const entries = await store.entriesOf(BUCKET);
    const said = entries.find(({ bytes }) => {
      const decoded = decodeEntry(bytes);
      return (decoded.type === 'log.rotated' || decoded.type === 'log.retired') && subject(decoded) === subject(entry);
    });
    if (said) return said.index;
    // Not won: somebody else has said something about the log as a whole. Look again.
    await store.appendAbout(BUCKET, entries.length, [entry]);
  }
}
