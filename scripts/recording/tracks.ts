import { createReadStream } from 'node:fs';
import { open, stat } from 'node:fs/promises';
import { basename } from 'node:path';
import { TRACK_KINDS, type TrackKind } from '../../crypto/format/open.ts';
import type { Policy } from '../../crypto/format/policy.ts';
import { usageError } from '../shell/arguments.ts';
import { CommandError } from '../shell/exits.ts';
import { arrivalPieces, ndjsonPieces, type Piece } from './pieces.ts';
import { isWebm, WebmReader, webmPieces } from './webm.ts';

/** A source as the command line names it. */
export interface NamedSource {
  /** Undefined: the policy's first free track of this kind. */
  track: number | undefined;
  kind: TrackKind;
  /** MIME type, perhaps with codecs. */
  codec: string;
  /** A path, or `-` for standard input. */
  source: string;
}

/** A source that was looked into and has its place in the policy. */
export interface SourceTrack extends NamedSource {
  track: number;
  format: 'webm' | 'ndjson' | 'other';
}

const KIND_BY_NAME = new Map(
  Object.entries(TRACK_KINDS).map(([kind, name]) => [name as string, Number(kind) as TrackKind]),
);
const [MICROPHONE, EVENTS, MIXED, PHOTO, ABOUT] = [3, 4, 5, 6, 7] as const satisfies readonly TrackKind[];
export const TRACK_KIND_NAMES = [...KIND_BY_NAME.keys()].join(', ');

const EXTENSIONS: Readonly<Record<string, { kind: TrackKind; codec: string }>> = {
  webm: { kind: MIXED, codec: 'video/webm' },
  mkv: { kind: MIXED, codec: 'video/x-matroska' },
  mp4: { kind: MIXED, codec: 'video/mp4' },
  weba: { kind: MICROPHONE, codec: 'audio/webm' },
  ogg: { kind: MICROPHONE, codec: 'audio/ogg' },
  opus: { kind: MICROPHONE, codec: 'audio/ogg' },
  wav: { kind: MICROPHONE, codec: 'audio/wav' },
  ndjson: { kind: EVENTS, codec: 'application/x-ndjson' },
  jsonl: { kind: EVENTS, codec: 'application/x-ndjson' },
  jpg: { kind: PHOTO, codec: 'image/jpeg' },
  png: { kind: PHOTO, codec: 'image/png' },
  json: { kind: ABOUT, codec: 'application/json' },
};

export function parseKind(name: string): TrackKind {
  const kind = KIND_BY_NAME.get(name);
  if (kind === undefined)
    throw usageError(`expected a kind of track (${TRACK_KIND_NAMES}), found ${JSON.stringify(name)}`);
  return kind;
}

/** Extension of a MIME type, for files that `fetch` writes. */
export function extensionOf(codec: string): string {
  const type = codec.split(';', 1)[0]!;
  return Object.entries(EXTENSIONS).find(([, known]) => known.codec === type)?.[0] ?? 'bin';
}

/**
 * FILE, whose name tells: it begins with a kind (`screen-2.webm`) or has the extension of one; or `id:kind:codec=FILE`, as
 * in `7:webcam:video/mp4=cam.mp4`. Throws `usage`.
 */
export function parseTrack(text: string): NamedSource {
  const declared = /^(\d{1,5}):([a-z]+):([^=]*(?:="[^"]*")?[^=]*)=(.+)$/.exec(text);
  if (!declared) return trackOfFile(text);
  const [, id = '', kindName = '', codec = '', source = ''] = declared;
  if (Number(id) > 0xffff) throw usageError(`--track: expected an id of at most 65535, found ${id}`);
  return { track: Number(id), kind: parseKind(kindName), codec: codec || codecOfFile(source), source };
}

function trackOfFile(path: string): NamedSource {
  if (path === '-') return { track: undefined, kind: MIXED, codec: 'video/webm', source: path };
  const name = basename(path).toLowerCase();
  const known = EXTENSIONS[name.slice(name.lastIndexOf('.') + 1)];
  if (!known) {
    throw usageError(
      `${path}: the extension tells no kind of track`,
      `--track 1:webcam:video/webm=${path} tells it; kinds are ${TRACK_KIND_NAMES}`,
    );
  }
  const kind = KIND_BY_NAME.get(/^[a-z]+/.exec(name)?.[0] ?? '') ?? known.kind;
  return { track: undefined, kind, codec: known.codec, source: path };
}

function codecOfFile(path: string): string {
  return EXTENSIONS[path.slice(path.lastIndexOf('.') + 1).toLowerCase()]?.codec ?? 'application/octet-stream';
}

const PEEK_BYTES = 64 * 1024;

/**
 * Gives each source its track of the policy and reads its beginning: what it is, and which codecs a player will need. Throws
 * `usage` where the policy has no such track, and what opening a file throws.
 */
export async function assignTracks(
  sources: readonly NamedSource[],
  policy: Pick<Policy, 'tracks'>,
): Promise<SourceTrack[]> {
  if (sources.filter(({ source }) => source === '-').length > 1)
    throw usageError('standard input can be one track only');
  const taken = new Set(sources.flatMap(({ track }) => track ?? []));
  if (taken.size < sources.filter(({ track }) => track !== undefined).length)
    throw usageError('two tracks have one id');
  const assigned: SourceTrack[] = [];
  for (const named of sources) {
    const track = named.track ?? policy.tracks.find(({ id, kind }) => kind === named.kind && !taken.has(id))?.id;
    if (track === undefined) {
      const kinds = policy.tracks.map(({ id, kind }) => `${id} ${TRACK_KINDS[kind]}`).join(', ');
      throw usageError(
        `${named.source}: the exam records no ${taken.size > 0 ? 'further ' : ''}${TRACK_KINDS[named.kind]}`,
        `its tracks are ${kinds}; --track id:kind:codec=FILE chooses one`,
      );
    }
    taken.add(track);
    assigned.push(await inspect({ ...named, track }));
  }
  return assigned;
}

function formatOf(codec: string): SourceTrack['format'] {
  if (/^(video|audio)\/webm/.test(codec)) return 'webm';
  return codec.startsWith('application/x-ndjson') ? 'ndjson' : 'other';
}

async function inspect(track: NamedSource & { track: number }): Promise<SourceTrack> {
  if (track.source === '-') return { ...track, format: formatOf(track.codec) };
  if ((await stat(track.source)).isDirectory()) {
    throw new CommandError('storage', 'eisdir', `${track.source}: expected a file, found a folder`);
  }
  const file = await open(track.source, 'r');
  try {
    const beginning = new Uint8Array(PEEK_BYTES);
    const { bytesRead } = await file.read(beginning, 0, PEEK_BYTES, 0);
    if (!isWebm(beginning.subarray(0, bytesRead))) {
      const format = formatOf(track.codec);
      return { ...track, format: format === 'webm' ? 'other' : format };
    }
    const reader = new WebmReader();
    reader.push(beginning.subarray(0, bytesRead));
    const codec =
      track.codec.includes(';') || reader.codecs.length === 0
        ? track.codec
        : `${track.codec};codecs="${reader.codecs.join(',')}"`;
    return { ...track, codec, format: 'webm' };
  } finally {
    await file.close();
  }
}

/** The track's bytes with their media time; memory stays bounded however long it runs. */
export function piecesOf(
  track: SourceTrack,
  input: AsyncIterable<Uint8Array>,
  now: () => number,
): AsyncGenerator<Piece> {
  if (track.format === 'webm') return webmPieces(input);
  if (track.format === 'ndjson') return ndjsonPieces(input);
  return arrivalPieces(input, now);
}

export function openSource(track: SourceTrack, standardInput: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
  return track.source === '-' ? standardInput : (createReadStream(track.source) as AsyncIterable<Uint8Array>);
}
