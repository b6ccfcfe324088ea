import { useRef, useState } from 'preact/hooks';
import { Button } from '../parts/button.tsx';
import { LiveRegion, Status } from '../parts/status.tsx';
import { capture, captureTrouble, release, type Captured } from './capture.ts';
import type { PictureLimits } from './messages.ts';
import { Preview } from './preview.tsx';

export interface PhotoProps {
  /** The camera that is recorded; undefined while it is not allowed yet. */
  camera: Captured | undefined;
  /** Whether the camera is recorded at all. Where it is not, it is on for the photo only. */
  isCameraRecorded: boolean;
  limits: PictureLimits;
  photo: Uint8Array | undefined;
  onTaken: (jpeg: Uint8Array) => void;
}

const JPEG_QUALITY = 0.9;

/** One still of the camera, kept in memory until the recording begins, and then sealed like everything else. */
export function PhotoOfId({ camera, isCameraRecorded, limits, photo, onTaken }: PhotoProps) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const [own, setOwn] = useState<Captured>();
  const [trouble, setTrouble] = useState('');
  const source = camera ?? own;

  async function turnOn(): Promise<void> {
    try {
      setOwn(await capture('webcam', limits));
      setTrouble('');
    } catch (error) {
      setTrouble(captureTrouble('webcam', error));
    }
  }

  async function take({ stream }: Captured): Promise<void> {
    if (!canvas.current) return;
    const video = document.createElement('video');
    video.muted = true;
    video.srcObject = stream;
    await video.play();
    const { videoWidth: width, videoHeight: height } = video;
    Object.assign(canvas.current, { width, height });
    canvas.current.getContext('2d')?.drawImage(video, 0, 0);
    const blob = await new Promise<Blob | null>((resolve) => {
      canvas.current?.toBlob(resolve, 'image/jpeg', JPEG_QUALITY);
    });
    if (own) release([own]);
    setOwn(undefined);
    if (blob) onTaken(new Uint8Array(await blob.arrayBuffer()));
  }

  return (
    <div class="stack photo">
      <p>Hold your ID before the camera, and take the photo. Cover on it what your institution does not need.</p>
      {own && <Preview captured={own} />}
      <canvas ref={canvas} hidden={!photo || own !== undefined} role="img" aria-label="The photo of your ID" />
      {trouble !== '' && <Status tone="bad">{trouble}</Status>}
      <div class="row">
        {!source && !isCameraRecorded ? (
          <Button onPress={() => void turnOn()}>
            {photo ? 'Turn the camera on for another photo' : 'Turn the camera on for the photo'}
          </Button>
        ) : (
          <Button
            unavailable={source ? undefined : 'allow the camera first'}
            onPress={() => {
              if (source) void take(source);
            }}
          >
            {photo ? 'Take it again' : 'Take the photo of your ID'}
          </Button>
        )}
        <LiveRegion isShown>{photo && !own ? 'The photo is taken.' : ''}</LiveRegion>
      </div>
    </div>
  );
}
