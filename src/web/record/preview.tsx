import { useEffect, useRef, useState } from 'preact/hooks';
import { sourceName, type Captured } from './capture.ts';

/** What is being captured, as it will be recorded. */
export function Preview({ captured }: { captured: Captured }) {
  return captured.source === 'microphone' ? (
    <SoundPreview captured={captured} />
  ) : (
    <PicturePreview captured={captured} />
  );
}

function PicturePreview({ captured: { source, stream } }: { captured: Captured }) {
  const video = useRef<HTMLVideoElement>(null);
  useEffect(() => {
    if (video.current) video.current.srcObject = stream;
  }, [stream]);
  return (
    <figure class="preview">
      <video ref={video} autoPlay muted playsInline aria-label={`What your ${sourceName(source)} shows`} />
      <figcaption>{source === 'webcam' ? 'Your camera' : 'Your screen'}</figcaption>
    </figure>
  );
}

const LOOKS_PER_SECOND = 10;

function SoundPreview({ captured: { stream } }: { captured: Captured }) {
  const [level, setLevel] = useState(0);
  useEffect(() => {
    const context = new AudioContext();
    const analyser = context.createAnalyser();
    context.createMediaStreamSource(stream).connect(analyser);
    const samples = new Float32Array(analyser.fftSize);
    const timer = setInterval(() => {
      analyser.getFloatTimeDomainData(samples);
      const peak = samples.reduce((most, sample) => Math.max(most, Math.abs(sample)), 0);
      setLevel(Math.min(1, peak * 2));
    }, 1000 / LOOKS_PER_SECOND);
    return () => {
      clearInterval(timer);
      void context.close();
    };
  }, [stream]);
  return (
    <figure class="preview sound">
      <meter min={0} max={1} value={level} aria-label="Level of your microphone" />
      <figcaption>Your microphone: speak, and the bar moves</figcaption>
    </figure>
  );
}
