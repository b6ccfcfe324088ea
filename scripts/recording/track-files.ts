/** Writes what a reader opened: one file a track, over all epochs of the recording. */
import { createHash, type Hash } from 'node:crypto';
import { open, rename, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import type { Bytes } from '../../crypto/format/bytes.ts';
import { TRACK_KINDS, type OpenTrack } from '../../crypto/format/open.ts';
import { ProtocolError } from '../../crypto/format/errors.ts';
import type { RecordingReader } from '../../src/client/reader.ts';
import { extensionOf } from './tracks.ts';
import { isWebm } from './webm.ts';

export interface WrittenTrack {
  track: number;
  kind: string;
  file: string;
  bytes: number;
  /** Of the whole file, hex. */
  sha256: string;
}

/** A file that has its name only when it is whole; until then it is NAME.part. */
class TrackFile {
  readonly path: string;
  readonly #file: FileHandle;
  readonly #hash: Hash = createHash('sha256');
  #bytes = 0;

  private constructor(path: string, file: FileHandle) {
    this.path = path;
    this.#file = file;
  }

  static async create(path: string): Promise<TrackFile> {
    return new TrackFile(path, await open(`${path}.part`, 'w', 0o600));
  }

  async append(bytes: Bytes): Promise<void> {
    await this.#file.writeFile(bytes);
    this.#hash.update(bytes);
    this.#bytes += bytes.length;
  }

  async finish(): Promise<{ bytes: number; sha256: string }> {
    await this.#file.close();
    await rename(`${this.path}.part`, this.path);
    return { bytes: this.#bytes, sha256: this.#hash.digest('hex') };
  }
}

/**
 * Reads every track in `tracks` and writes it under `directory`. An epoch that begins a new stream (a recorder that was started
 * anew writes a new WebM header) gets a file of its own, `webcam.epoch1.webm`; one that goes on with the same stream is appended.
 * A track that stops verifying is written as far as it did; the verdict tells.
 */
export async function* writeTracks(
  reader: RecordingReader,
  directory: string,
  isWanted: (track: OpenTrack) => boolean,
  onBytes: (bytes: number) => void,
): AsyncGenerator<WrittenTrack> {
  const declared = new Map<number, OpenTrack>();
  for (const { tracks } of reader.epochs) for (const track of tracks) declared.set(track.track, track);
  for (const track of [...declared.values()].filter(isWanted)) {
    yield* writeTrack(reader, track, join(directory, nameOf(track, [...declared.values()])), onBytes);
  }
}

async function* writeTrack(
  reader: RecordingReader,
  { track, kind, codec }: OpenTrack,
  stem: string,
  onBytes: (bytes: number) => void,
): AsyncGenerator<WrittenTrack> {
  let file: TrackFile | undefined;
  const described = { track, kind: TRACK_KINDS[kind] };
  for (const { epoch, tracks, checked } of reader.epochs) {
    if (!checked || !tracks.some((candidate) => candidate.track === track)) continue;
    let isFirst = true;
    for await (const bytes of mediaOf(reader, epoch, track)) {
      if (file && isFirst && beginsAnew(bytes, codec)) {
        yield { ...described, file: file.path, ...(await file.finish()) };
        file = undefined;
      }
      file ??= await TrackFile.create(
        `${stem}${epoch === 0 ? '' : isFirst && beginsAnew(bytes, codec) ? `.epoch${epoch}` : ''}.${extensionOf(codec)}`,
      );
      isFirst = false;
      await file.append(bytes);
      onBytes(bytes.length);
    }
  }
  file ??= await TrackFile.create(`${stem}.${extensionOf(codec)}`);
  yield { ...described, file: file.path, ...(await file.finish()) };
}

/** A track's media as far as it verifies. */
export async function* mediaOf(reader: RecordingReader, epoch: number, track: number): AsyncGenerator<Bytes> {
  try {
    for await (const { bytes } of reader.readTrack(epoch, track, { allowGaps: true }))
      if (bytes.length > 0) yield bytes;
  } catch (error) {
    // The reader has noted it: it is in the verdict, and the other tracks are read all the same.
    if (!(error instanceof ProtocolError)) throw error;
  }
}

function beginsAnew(bytes: Uint8Array, codec: string): boolean {
  return isWebm(bytes) || codec.startsWith('application/json') || codec.startsWith('image/');
}

/** `webcam`, or `webcam-12` where the recording has several webcams. */
function nameOf({ track, kind }: OpenTrack, all: readonly OpenTrack[]): string {
  const isOnly = all.filter((other) => other.kind === kind).length === 1;
  return isOnly ? TRACK_KINDS[kind] : `${TRACK_KINDS[kind]}-${track}`;
}
