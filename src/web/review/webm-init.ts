/** The beginning of a WebM stream (EVENTS.md section 1): where it ends, and what a player must be told. Enough of RFC 9559 for that. */
import type { Bytes } from '../../../crypto/format/bytes.ts';
import { readHeader } from '../../client/ebml.ts';

const EBML = 0x1a45dfa3;
const SEGMENT = 0x18538067;
const TRACKS = 0x1654ae6b;
const TRACK_ENTRY = 0xae;
const CODEC_ID = 0x86;
const CLUSTER = 0x1f43b675;
const ENTERED: ReadonlySet<number> = new Set([SEGMENT, TRACKS, TRACK_ENTRY]);

/** Names that MediaSource knows without a profile. */
const CODECS: Readonly<Record<string, string>> = {
  V_VP8: 'vp8',
  V_VP9: 'vp9',
  V_AV1: 'av01.0.08M.08',
  A_OPUS: 'opus',
  A_VORBIS: 'vorbis',
};

export interface WebmInit {
  /** EBML, Segment and Tracks: what MediaSource takes before any cluster. */
  init: Bytes;
  /** In the order of the stream, e.g. `vp8`, `opus`. */
  codecs: string[];
}

/** Undefined for bytes that do not begin a WebM stream, or end before its first cluster. */
export function readWebmInit(bytes: Bytes): WebmInit | undefined {
  const codecs: string[] = [];
  let at = 0;
  while (at < bytes.length) {
    const header = readHeader(bytes, at);
    if (!header || (at === 0 && header.id !== EBML)) return undefined;
    if (header.id === CLUSTER) return { init: bytes.slice(0, at), codecs };
    at += header.length;
    if (ENTERED.has(header.id)) continue;
    if (header.size === undefined) return undefined;
    if (header.id === CODEC_ID) {
      const name = new TextDecoder().decode(bytes.subarray(at, at + header.size));
      codecs.push(CODECS[name] ?? name);
    }
    at += header.size;
  }
  return undefined;
}

/** What `addSourceBuffer` is given: video where any of the codecs is. */
export function mimeOf(codecs: readonly string[]): string {
  return `${codecs.every(isSound) ? 'audio' : 'video'}/webm; codecs="${codecs.join(',')}"`;
}

/** `picture`, `sound`, or both in the order of the stream. */
export function kindsOf(codecs: readonly string[]): string {
  return codecs.map((codec) => (isSound(codec) ? 'sound' : 'picture')).join();
}

function isSound(codec: string): boolean {
  return codec === 'opus' || codec === 'vorbis';
}
