/** A recording as it lies in a server's own database and bucket, for whoever stands beside it: everything but the shred shares. */
import type { Api } from '../../src/client/api.ts';
import {
  type ChunkName,
  type ProvenEntry,
  publishedEntries,
  type ReleasedRecording,
  type Source,
} from '../../src/client/source.ts';
import type { ByteRange } from '../../src/client/object-store.ts';
import { parseGrant } from '../../crypto/format/grant.ts';
import { toBase64Url, type Bytes } from '../../crypto/format/bytes.ts';
import { objectKey, recordingPrefix } from '../../src/server/core/names.ts';
import { tally } from '../../src/server/core/tally.ts';
import type { Bucket, Store } from '../../src/server/ports.ts';
import type { RecordingRow } from '../../src/server/store.ts';

export interface StoredRecording {
  store: Store;
  bucket: Bucket;
  /** Asked for the log's entries and proofs, which are public. */
  api: Api;
  row: RecordingRow;
}

export class StoredSource implements Source {
  readonly #recording: StoredRecording;

  constructor(recording: StoredRecording) {
    this.#recording = recording;
  }

  async release(): Promise<ReleasedRecording> {
    const { store, bucket, row } = this.#recording;
    const [epochs, wraps, grants] = await Promise.all([
      store.epochs(row.id),
      store.wraps(row.id),
      store.grants(row.id),
    ]);
    const hashes = new Set([
      ...epochs.map(({ policyHash }) => policyHash),
      ...grants.map(({ grant }) => toBase64Url(parseGrant(grant).policyHash)),
    ]);
    const policies = await Promise.all([...hashes].map((hash) => store.policyByHash(row.examId, hash)));
    const { tracks } = await tally(bucket.list(recordingPrefix(row.id)));
    return {
      recordingId: row.id,
      policies: policies.flatMap((policy) => policy?.bytes ?? []),
      epochs: epochs.map(({ epoch, open, head }) => ({
        epoch,
        open,
        // It stays in the vault, and dies there: this copy opens for nobody who has no other share.
        shred: null,
        wraps: wraps.filter((wrap) => wrap.epoch === epoch).map(({ wrap }) => wrap),
        grants: grants.filter((grant) => grant.epoch === epoch).map(({ grant, wrap }) => ({ grant, wrap })),
        heads: head === null ? [] : [head],
        tracks: tracks.filter((track) => track.epoch === epoch).map(({ track, end }) => ({ track, end })),
      })),
    };
  }

  entries(): Promise<ProvenEntry[]> {
    return publishedEntries(this.#recording.api, this.#recording.row.id);
  }

  object(name: ChunkName, range?: ByteRange): Promise<Bytes | undefined> {
    return this.#recording.bucket.get(objectKey(this.#recording.row.id, name), range);
  }
}
