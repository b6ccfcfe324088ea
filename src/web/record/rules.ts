/** What a policy asks of the page beyond what the recorder itself follows (EVENTS.md section 3). */
import type { Policy } from '../../../crypto/format/policy.ts';
import { ProtocolError } from '../../../crypto/format/errors.ts';
import type { Accommodations, RuleName } from '../../../schema/events.ts';
import type { PictureLimits } from './messages.ts';

const RULES: readonly RuleName[] = ['full_screen', 'no_clipboard', 'no_context_menu', 'one_screen'];
const SWITCHES = ['pause', 'location', 'address', ...RULES] as const;
const FIGURES = {
  video_height: { least: 180, most: 2160, usual: 480 },
  screen_height: { least: 360, most: 2160, usual: 1080 },
  frame_rate: { least: 1, most: 30, usual: 15 },
} as const;

/** For the recorder, which refuses a rule that nobody follows. */
export const KNOWN_RULES: readonly string[] = [...SWITCHES, ...Object.keys(FIGURES)];

/** Most pictures a second of a screen: text stands still, and its lines are many. */
const SCREEN_FRAME_RATE = 5;

/** A cluster of a second or two must fit into a chunk, or players could not begin at one. */
const LEAST_CHUNK_BYTES = 2 ** 20;

export interface PageRules {
  rules: RuleName[];
  mayPause: boolean;
  wantsLocation: boolean;
  wantsAddress: boolean;
  picture: PictureLimits;
}

/** Throws `policy` for a value that makes no sense. */
export function pageRules({ capture }: Pick<Policy, 'capture'>, { rulesOff }: Accommodations): PageRules {
  const isOn = (name: (typeof SWITCHES)[number]): boolean => {
    const value = capture[name] ?? false;
    if (typeof value !== 'boolean') throw refused(`expected ${name} to be true or false`);
    return value;
  };
  const figure = (name: keyof typeof FIGURES): number => {
    const { least, most, usual } = FIGURES[name];
    const value = capture[name] ?? usual;
    if (typeof value !== 'number' || !(value >= least && value <= most)) {
      throw refused(`expected ${name} from ${least} to ${most}`);
    }
    return value;
  };
  const { chunk_bytes: chunkBytes } = capture;
  if (typeof chunkBytes === 'number' && chunkBytes < LEAST_CHUNK_BYTES) {
    throw refused(`a browser records with chunk_bytes of at least ${LEAST_CHUNK_BYTES}`);
  }
  return {
    rules: RULES.filter((rule) => isOn(rule) && !rulesOff.includes(rule)),
    mayPause: isOn('pause'),
    wantsLocation: isOn('location'),
    wantsAddress: isOn('address'),
    picture: {
      videoHeight: figure('video_height'),
      screenHeight: figure('screen_height'),
      frameRate: figure('frame_rate'),
      screenFrameRate: Math.min(SCREEN_FRAME_RATE, figure('frame_rate')),
    },
  };
}

function refused(what: string): ProtocolError {
  return new ProtocolError('policy', `policy refused: ${what}`);
}
