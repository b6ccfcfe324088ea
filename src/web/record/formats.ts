/** Which codec this browser encodes a picture with. */
import type { PictureFormat } from './picture-track.ts';
import type { PictureLimits } from './messages.ts';
import { ClientError } from '../../client/errors.ts';

export const SOUND_CODEC = 'audio/webm; codecs=opus';

/** VP8 costs least for a face; VP9 keeps small text readable at the same size. What is not there is passed over. */
const CODECS = {
  webcam: ['vp8', 'vp9', 'av1'],
  screen: ['vp9', 'vp8', 'av1'],
} as const;
const CODEC_STRINGS = { vp8: 'vp8', vp9: 'vp09.00.40.08', av1: 'av01.0.08M.08' } as const;

/** Bits per pixel and frame. A screen changes little from frame to frame. */
const BITS_PER_PIXEL = { webcam: 0.1, screen: 0.06 } as const;
const KEY_FRAME_MS = { webcam: 2_000, screen: 4_000 } as const;

/** Throws `track` where the browser encodes nothing that WebM holds. */
export async function choosePictureFormat(kind: 'webcam' | 'screen', limits: PictureLimits): Promise<PictureFormat> {
  const height = kind === 'webcam' ? limits.videoHeight : limits.screenHeight;
  const frameRate = kind === 'webcam' ? limits.frameRate : limits.screenFrameRate;
  const width = 2 * Math.round((height * 16) / 9 / 2);
  const bitsPerSecond = Math.round(width * height * frameRate * BITS_PER_PIXEL[kind]);
  for (const codec of CODECS[kind]) {
    const codecString = CODEC_STRINGS[codec];
    const { supported } = await VideoEncoder.isConfigSupported({
      ...{ codec: codecString, width, height, bitrate: bitsPerSecond, framerate: frameRate, latencyMode: 'realtime' },
    });
    if (supported) return { codec, codecString, height, frameRate, bitsPerSecond, keyFrameMs: KEY_FRAME_MS[kind] };
  }
  throw new ClientError('track', `this browser encodes no ${kind}`, { hint: 'use a current Chrome, Edge or Chromium' });
}
