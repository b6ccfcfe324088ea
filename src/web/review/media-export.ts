/** A recording as one film: the packets that were recorded, moved into one file and not encoded again, on the recording's line of time. */
import {
  EncodedAudioPacketSource,
  EncodedPacketSink,
  EncodedVideoPacketSource,
  Input,
  Mp4OutputFormat,
  Output,
  ReadableStreamSource,
  StreamTarget,
  WEBM,
  WebMOutputFormat,
  type AudioCodec,
  type EncodedPacket,
  type InputAudioTrack,
  type InputVideoTrack,
  type StreamTargetChunk,
  type VideoCodec,
} from 'mediabunny';
import type { RecordingReader } from '../../client/reader.ts';
import type { Timeline } from './timeline.ts';

export interface FilmPlan {
  reader: RecordingReader;
  timeline: Timeline;
  /** Track with the picture, and the one with the sound; they may be the same. */
  picture: number | undefined;
  sound: number | undefined;
  format: 'webm' | 'mp4';
  writable: WritableStream<StreamTargetChunk>;
  /** Told how far on the line of time it is. */
  onProgress: (atMs: number) => void;
}

/** One kind of packets of one epoch. */
interface Lane {
  packets: AsyncGenerator<EncodedPacket, void, unknown>;
  /** Of its newest packet. */
  newestMs: number;
  add: (packet: EncodedPacket) => Promise<void>;
}

/** Throws where there is neither picture nor sound, and where an epoch's codec is another one: a film has one. */
export async function exportFilm(plan: FilmPlan): Promise<void> {
  const output = new Output({
    format: plan.format === 'mp4' ? new Mp4OutputFormat({ fastStart: false }) : new WebMOutputFormat(),
    target: new StreamTarget(plan.writable, { chunked: true }),
  });
  const epochs: { startMs: number; lanes: Lane[]; inputs: Input[] }[] = [];
  let video: { codec: VideoCodec; source: EncodedVideoPacketSource } | undefined;
  let audio: { codec: AudioCodec; source: EncodedAudioPacketSource } | undefined;
  for (const { epoch, startMs, tracks } of plan.timeline.spans) {
    const inputs: Input[] = [];
    const lanes: Lane[] = [];
    // An input of its own for each, even where picture and sound come in one track: each is read at its own pace.
    const open = (track: number | undefined): Input | undefined => {
      if (track === undefined || !tracks.some((found) => found.track === track && found.endMs > 0)) return undefined;
      const input = inputOf(plan.reader, epoch, track);
      inputs.push(input);
      return input;
    };
    const picture = await open(plan.picture)?.getPrimaryVideoTrack();
    const videoCodec = await picture?.getCodec();
    if (picture && videoCodec) {
      video ??= { codec: videoCodec, source: new EncodedVideoPacketSource(videoCodec) };
      lanes.push(await laneOf(picture, video, videoCodec));
    }
    const sound = await open(plan.sound)?.getPrimaryAudioTrack();
    const audioCodec = await sound?.getCodec();
    if (sound && audioCodec) {
      audio ??= { codec: audioCodec, source: new EncodedAudioPacketSource(audioCodec) };
      lanes.push(await laneOf(sound, audio, audioCodec));
    }
    epochs.push({ startMs, lanes, inputs });
  }
  if (video) output.addVideoTrack(video.source);
  if (audio) output.addAudioTrack(audio.source);
  if (!video && !audio) throw new Error('there is neither picture nor sound to export');
  await output.start();
  let endMs = 0;
  for (const { startMs, lanes, inputs } of epochs) {
    // A chunk's header may end a frame before its last packet does: nothing is laid over what was written.
    endMs = await interleave(lanes, Math.max(startMs, endMs), plan.onProgress);
    for (const input of inputs) input.dispose();
  }
  await output.finalize();
}

/** `first`: where the codec of the film was decided. */
async function laneOf(
  track: InputVideoTrack | InputAudioTrack,
  first: { codec: string; source: EncodedVideoPacketSource | EncodedAudioPacketSource },
  codec: string,
): Promise<Lane> {
  if (first.codec !== codec) {
    throw new Error(
      `a film has one codec, and this recording has ${first.codec} and ${codec}: export the case file instead`,
    );
  }
  const decoderConfig = await track.getDecoderConfig();
  const meta = { decoderConfig };
  return {
    packets: new EncodedPacketSink(track).packets(),
    newestMs: 0,
    add: (packet) => first.source.add(packet, meta as EncodedVideoChunkMetadata & EncodedAudioChunkMetadata),
  };
}

/** Packets of all lanes in the order of their times, so that a file can be played while it is read. Answers where they end. */
async function interleave(
  lanes: readonly Lane[],
  startMs: number,
  onProgress: (atMs: number) => void,
): Promise<number> {
  const waiting: { lane: Lane; packet: EncodedPacket }[] = [];
  const advance = async (lane: Lane): Promise<void> => {
    const { value } = await lane.packets.next();
    if (value) waiting.push({ lane, packet: value });
  };
  for (const lane of lanes) await advance(lane);
  let endMs = startMs;
  let told = -Infinity;
  while (waiting.length > 0) {
    waiting.sort((a, b) => a.packet.timestamp - b.packet.timestamp);
    const { lane, packet } = waiting.shift()!;
    // A recorder's clock may step back by a millisecond; a file's may not.
    const atMs = Math.max(startMs + packet.timestamp * 1000, lane.newestMs);
    lane.newestMs = atMs;
    await lane.add(packet.clone({ timestamp: atMs / 1000 }));
    endMs = Math.max(endMs, atMs + packet.duration * 1000);
    if (atMs - told >= 1000) onProgress((told = atMs));
    await advance(lane);
  }
  return endMs;
}

function inputOf(reader: RecordingReader, epoch: number, track: number): Input {
  const chunks = reader.readTrack(epoch, track, { allowGaps: true });
  const stream = new ReadableStream<Uint8Array>({
    pull: async (controller) => {
      for (;;) {
        const { value, done } = await chunks.next();
        if (done === true) {
          controller.close();
          return;
        }
        if (value.bytes.length === 0) continue;
        controller.enqueue(value.bytes);
        return;
      }
    },
  });
  return new Input({ formats: [WEBM], source: new ReadableStreamSource(stream) });
}
