/** Lengths, sizes and refusals in plain words. */
import type { Failure } from './messages.ts';

export function duration(ms: number): string {
  const seconds = Math.floor(ms / 1000);
  const parts = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
  return parts.map((part) => String(part).padStart(2, '0')).join(':');
}

export function size(bytes: number): string {
  return bytes < 2 ** 20 ? `${Math.ceil(bytes / 1024)} KB` : `${(bytes / 2 ** 20).toFixed(1)} MB`;
}

const KNOWN: Readonly<Record<string, readonly [what: string, remedy: string]>> = {
  link: ['This is not a whole exam link.', 'Copy the link again, from https:// to its last character, and open it.'],
  unreachable: [
    'The service cannot be reached.',
    'Check the network, then load this page again. Nothing that was recorded is lost.',
  ],
  policy: [
    'The exam’s rules could not be confirmed as those of your instructor, so nothing is recorded.',
    'Ask your instructor for the newest link.',
  ],
  log: [
    'The log of this service is not the one that this browser saw before: entries are gone, or are others. So nothing is recorded.',
    'Do not begin. Tell who runs the exam: whoever audits the service has to look at this.',
  ],
  'outbox-locked': [
    'This exam is being recorded in another tab or window of this browser.',
    'Go on there. Or close it, and load this page again.',
  ],
  'ticket-used': [
    'Your link was used on another device or in another browser.',
    'Go on where you began. If that is not possible, ask for a new link.',
  ],
  'outbox-full': [
    'There is no room left on this device.',
    'Free some space, then load this page again and continue. What was recorded is kept.',
  ],
  'outbox-damaged': [
    'What waits on this device cannot be read.',
    'Do not clear the browser’s data. Ask who runs the exam.',
  ],
  'quota-reached': [
    'This exam takes no more recordings: together they are as large as they may be.',
    'Tell whoever runs the exam; they can allow more. Nothing was recorded.',
  ],
  'exam-unknown': ['There is no such exam here.', 'Ask your instructor for the link.'],
};

export function failureWords({ code, message, hint }: Failure): { what: string; remedy: string } {
  const [what, remedy] = KNOWN[code] ?? [
    `It did not work: ${message}.`,
    hint ?? 'Load this page again. Ask who runs the exam if it stays.',
  ];
  return { what, remedy };
}
