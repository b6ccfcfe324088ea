import { useRef } from 'preact/hooks';
import { Button } from '../parts/button.tsx';
import { LiveRegion } from '../parts/status.tsx';
import type { Captured } from './capture.ts';

export interface PhotoProps {
  camera: Captured | undefined;
  photo: Uint8Array | undefined;
  onTaken: (jpeg: Uint8Array) => void;
}

const JPEG_QUALITY = 0.9;

/** One still of the camera, kept in memory until the recording begins, and then sealed like everything else. */
export function PhotoOfId({ camera, photo, onTaken }: PhotoProps) {
  const canvas = useRef<HTMLCanvasElement>(null);

  async function take(): Promise<void> {
    if (!camera || !canvas.current) return;
    const video = document.createElement('video');
    video.muted = true;
    video.srcObject = camera.stream;
    await video.play();
    const { videoWidth: width, videoHeight: height } = video;
    Object.assign(canvas.current, { width, height });
    canvas.current.getContext('2d')?.drawImage(video, 0, 0);
    const blob = await new Promise<Blob | null>((resolve) => {
      canvas.current?.toBlob(resolve, 'image/jpeg', JPEG_QUALITY);
    });
    if (blob) onTaken(new Uint8Array(await blob.arrayBuffer()));
  }

  return (
    <div class="stack photo">
      <p>Hold your ID before the camera, and take the photo. Cover on it what your institution does not need.</p>
      <canvas ref={canvas} hidden={!photo} role="img" aria-label="The photo of your ID" />
      <div class="row">
        <Button
          unavailable={camera ? undefined : 'allow the camera first'}
          onPress={() => {
            void take();
          }}
        >
          {photo ? 'Take it again' : 'Take the photo of your ID'}
        </Button>
        <LiveRegion isShown>{photo ? 'The photo is taken.' : ''}</LiveRegion>
      </div>
    </div>
  );
}
