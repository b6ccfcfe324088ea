/** One WebM stream of one track, handed out in pieces at which a player can begin (EVENTS.md section 1). */
import {
  EncodedAudioPacketSource,
  EncodedPacket,
  EncodedVideoPacketSource,
  NullTarget,
  Output,
  WebMOutputFormat,
} from 'mediabunny';

export type StreamCodec = 'vp8' | 'vp9' | 'av1' | 'opus';

/** What mediabunny's two packet sources have in common, and the encoders' two kinds of chunks. */
interface Packets {
  add(packet: EncodedPacket, meta?: Metadata): Promise<void>;
}
type Metadata = EncodedVideoChunkMetadata & EncodedAudioChunkMetadata;

export interface Cluster {
  /** The stream's header stands before the first one. */
  bytes: Uint8Array;
  startMs: number;
  endMs: number;
}

/**
 * Packets in, clusters out. A cluster begins at the first key frame that comes `clusterMs` or later after the one before, so who wants
 * clusters asks the encoder for key frames in time. Packets wait for each other: their order is theirs of coming.
 */
export class ClusterStream {
  readonly #source: Packets;
  readonly #output: Output;
  #header: Uint8Array[] = [];
  #endMs = 0;
  #last: Promise<void>;

  constructor(codec: StreamCodec, clusterMs: number, onCluster: (cluster: Cluster) => void) {
    const keep = (data: Uint8Array): void => {
      this.#header.push(data.slice());
    };
    this.#output = new Output({
      format: new WebMOutputFormat({
        appendOnly: true,
        minimumClusterDuration: clusterMs / 1000,
        onEbmlHeader: keep,
        onSegmentHeader: keep,
        onCluster: (data, _position, timestamp) => {
          const bytes = join([...this.#header, data]);
          this.#header = [];
          onCluster({ bytes, startMs: Math.round(timestamp * 1000), endMs: Math.round(this.#endMs) });
        },
      }),
      target: new NullTarget(),
    });
    if (codec === 'opus') {
      const source = new EncodedAudioPacketSource(codec);
      this.#output.addAudioTrack(source);
      this.#source = source;
    } else {
      const source = new EncodedVideoPacketSource(codec);
      this.#output.addVideoTrack(source);
      this.#source = source;
    }
    this.#last = this.#output.start();
  }

  /** Rejects where the stream cannot go on, and stays so. */
  add(
    chunk: EncodedVideoChunk | EncodedAudioChunk,
    meta?: EncodedVideoChunkMetadata | EncodedAudioChunkMetadata,
  ): Promise<void> {
    this.#last = this.#last.then(async () => {
      await this.#source.add(EncodedPacket.fromEncodedChunk(chunk), meta as Metadata | undefined);
      this.#endMs = (chunk.timestamp + (chunk.duration ?? 0)) / 1000;
    });
    return this.#last;
  }

  /** Hands out the last cluster. */
  async end(): Promise<void> {
    await this.#last;
    await this.#output.finalize();
  }
}

function join(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
