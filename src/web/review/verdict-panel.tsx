/** What can be proven about the recording, in words; checked here and not by the service. */
import { useEffect, useState } from 'preact/hooks';
import type { Depth } from '../../client/reader.ts';
import type { RecordingFindings } from '../../client/verdict.ts';
import { Button } from '../parts/button.tsx';
import { Panel } from '../parts/panel.tsx';
import { Progress } from '../parts/progress.tsx';
import { LiveRegion, Status } from '../parts/status.tsx';
import type { Opened } from './recording.tsx';
import { FailureNote, useTask } from '../parts/task.tsx';
import { VERDICT_WORDS } from './words.ts';

export interface Judged {
  findings: RecordingFindings;
  depth: Depth;
}

const DEPTH_WORDS: Readonly<Record<Depth, string>> = {
  heads:
    'Checked: every chunk’s signature, its place in the chain, and the recorder’s counts. The content of a chunk is checked when it is played.',
  ciphertext: 'Checked: every byte as it is stored.',
  plaintext: 'Checked: every byte, and that all of it opens.',
};

export interface VerdictPanelProps {
  opened: Opened;
  /** Whether the first picture is there. */
  isShown: boolean;
  judged: Judged | undefined;
  onJudged: (judged: Judged) => void;
}

export function VerdictPanel({ opened: { desk, recordingId }, isShown, judged, onJudged }: VerdictPanelProps) {
  const [progress, setProgress] = useState<{ checked: number; most: number }>();
  const task = useTask();
  const verify = (depth: Depth) =>
    task.run(async () => {
      setProgress({ checked: 0, most: 1 });
      const findings = await desk.verify(recordingId, depth, (checked, most) => {
        setProgress({ checked, most });
      });
      setProgress(undefined);
      onJudged({ findings, depth });
    });
  // Thousands of small reads: they begin when the first picture is there, and not before it.
  useEffect(() => {
    if (isShown) void verify('heads');
  }, [recordingId, isShown]);
  return (
    <Panel heading="Verdict">
      <div class="stack">
        {judged && <VerdictWords judged={judged} />}
        {progress && (
          <Progress
            label="Verifying"
            value={progress.checked}
            most={progress.most}
            words={`${progress.checked} of ${progress.most} chunks checked`}
          />
        )}
        <LiveRegion>{judged ? `Verdict: ${VERDICT_WORDS[judged.findings.verdict].short}` : ''}</LiveRegion>
        <FailureNote failure={task.failure} />
        {judged?.depth === 'heads' && (
          <div class="row">
            <Button unavailable={task.isBusy ? 'under way' : undefined} onPress={() => void verify('plaintext')}>
              Check every byte now
            </Button>
          </div>
        )}
      </div>
    </Panel>
  );
}

const MOST_REASONS = 20;

export function VerdictWords({ judged: { findings, depth } }: { judged: Judged }) {
  const { tone, short, meaning } = VERDICT_WORDS[findings.verdict];
  return (
    <>
      <Status tone={tone}>
        <p>
          <strong>{short}.</strong> {meaning}
        </p>
      </Status>
      {findings.reasons.length > 0 && (
        <ul>
          {findings.reasons.slice(0, MOST_REASONS).map((reason) => (
            <li key={reason}>{reason}</li>
          ))}
          {findings.reasons.length > MOST_REASONS && <li>and {findings.reasons.length - MOST_REASONS} more</li>}
        </ul>
      )}
      <p class="quiet">{DEPTH_WORDS[depth]} It says nothing about what the camera was pointed at.</p>
    </>
  );
}
