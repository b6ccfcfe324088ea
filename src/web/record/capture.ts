/** Camera, microphone and screen as this browser gives them. */
import type { CaptureSource } from '../../../schema/events.ts';
import type { PictureLimits } from './messages.ts';

export interface Captured {
  source: CaptureSource;
  stream: MediaStream;
  track: MediaStreamTrack;
}

/** Of Chromium; other browsers have it in workers only, or not at all, and then this page says that it cannot record. */
declare class MediaStreamTrackProcessor {
  constructor(options: { track: MediaStreamTrack; maxBufferSize?: number });
  readonly readable: ReadableStream;
}

/** Asks for a source. Rejects with the browser's own error, which `captureTrouble` says in words. */
export async function capture(
  source: CaptureSource,
  { videoHeight, frameRate, screenFrameRate }: PictureLimits,
): Promise<Captured> {
  const stream =
    source === 'screen'
      ? await navigator.mediaDevices.getDisplayMedia({
          video: { displaySurface: 'monitor', frameRate: screenFrameRate },
          audio: false,
        })
      : await navigator.mediaDevices.getUserMedia(
          source === 'webcam'
            ? { video: { height: { ideal: videoHeight }, frameRate: { ideal: frameRate } } }
            : { audio: { channelCount: 1, echoCancellation: false, noiseSuppression: false, autoGainControl: false } },
        );
  const [track] = stream.getTracks();
  if (!track) throw new DOMException('no track', 'NotFoundError');
  return { source, stream, track };
}

/** Frames that wait for a busy worker; the browser's default of one loses every other frame on a machine under load. */
const WAITING_FRAMES = 4;

export function framesOf({ source, track }: Captured): ReadableStream {
  const isSound = source === 'microphone';
  return new MediaStreamTrackProcessor({ track, ...(!isSound && { maxBufferSize: WAITING_FRAMES }) }).readable;
}

/** What the readers are told: the device's own name, and of a screen what of it is shared. */
export function deviceName({ source, track }: Captured): string {
  return source === 'screen' ? `${track.getSettings().displaySurface ?? 'unknown'}: ${track.label}` : track.label;
}

export function isPartOfScreen({ source, track }: Captured): boolean {
  return source === 'screen' && (track.getSettings().displaySurface ?? 'monitor') !== 'monitor';
}

export function release(captured: Iterable<Captured>): void {
  for (const { stream } of captured) for (const track of stream.getTracks()) track.stop();
}

const NAMES: Readonly<Record<CaptureSource, string>> = { webcam: 'camera', microphone: 'microphone', screen: 'screen' };

export function sourceName(source: CaptureSource): string {
  return NAMES[source];
}

/** What went wrong and what to do, by the error's name. */
export function captureTrouble(source: CaptureSource, error: unknown): string {
  const name = NAMES[source];
  switch (error instanceof DOMException ? error.name : '') {
    case 'NotAllowedError':
      return source === 'screen'
        ? 'The screen was not shared. Press the button again and choose your screen.'
        : `This browser may not use the ${name}. Press the icon beside the address, allow the ${name}, and try again.`;
    case 'NotFoundError':
      return `No ${name} was found. Plug one in, and try again.`;
    case 'NotReadableError':
      return `The ${name} is used by another program. Close that program, and try again.`;
    default:
      return `The ${name} does not work here. Try another browser or another ${name}.`;
  }
}
