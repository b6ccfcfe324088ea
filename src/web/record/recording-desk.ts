/** One recording from its link to its receipt, as the page asks for it step by step. Lives in the worker. */
import { fromBase64Url, utf8 } from '../../../crypto/format/bytes.ts';
import type { OpenTrack } from '../../../crypto/format/open.ts';
import { parseHead } from '../../../crypto/format/head.ts';
import type { ParsedPolicy } from '../../../crypto/format/policy.ts';
import { parseReceipt } from '../../../crypto/format/receipt.ts';
import { parseTicket } from '../../../crypto/format/ticket.ts';
import { encodeEvent, type CaptureSource } from '../../../schema/events.ts';
import { Api } from '../../client/api.ts';
import { lastWords } from '../../client/dead-epoch.ts';
import { ClientError } from '../../client/errors.ts';
import { formatReceipt, receiptLink } from '../../client/kept-receipt.ts';
import { parseExamLink, type ExamLink } from '../../client/link.ts';
import { openBrowserOutbox } from '../../client/outbox-indexeddb.ts';
import { isClosing } from '../../client/outbox-session.ts';
import type { Outbox, OutboxSession } from '../../client/outbox.ts';
import { checkLogNow, fetchPinnedPolicy } from '../../client/pinning.ts';
import { Recorder, type RecorderOptions } from '../../client/recorder.ts';
import { shelfOf, type SeenLog } from '../parts/log-memory.ts';
import { ClockWatch } from './clock-watch.ts';
import { viewExam } from './exam-view.ts';
import { MediaQueue } from './media-queue.ts';
import type {
  ExamView,
  Look,
  PageEvent,
  ReceiptView,
  RecorderCalls,
  RecorderNews,
  Standing,
  Started,
  StartRequest,
} from './messages.ts';
import { choosePictureFormat, SOUND_CODEC } from './formats.ts';
import { PictureTrack } from './picture-track.ts';
import { failureOf } from './remote.ts';
import { KNOWN_RULES } from './rules.ts';
import { SoundTrack } from './sound-track.ts';

const TICK_MS = 1_000;

/** What a page cannot see, told in every recording, so that nobody reads its silence as a finding. */
const NOT_SEEN = [
  'addresses of other tabs and windows',
  'other programs on this device',
  'other devices',
  'whether this device is a virtual machine',
  'screens and windows that are not shared',
];

export class RecordingDesk implements RecorderCalls {
  readonly #tell: (news: RecorderNews) => void;
  #link: ExamLink | undefined;
  #api: Api | undefined;
  #policy: ParsedPolicy | undefined;
  #exam: ExamView | undefined;
  #outbox: Outbox | undefined;
  #recorder: Recorder | undefined;
  readonly #tracks = new Map<CaptureSource, PictureTrack | SoundTrack>();
  #pulse: ReturnType<typeof setInterval> | undefined;
  #pausedMs: number | undefined;
  #lostNetworkMs: number | undefined;
  #isEnding = false;

  constructor(tell: (news: RecorderNews) => void) {
    this.#tell = tell;
  }

  async look(link: string, seenBefore: SeenLog | null): Promise<Look> {
    this.#link = parseExamLink(link);
    this.#api = new Api({ url: this.#link.url });
    const before = Date.now();
    const { now_ms: serverMs } = await this.#api.service();
    const clockOffsetMs = serverMs - (before + Date.now()) / 2;
    this.#policy = await fetchPinnedPolicy(this.#api, this.#link, undefined);
    let seen: SeenLog | null = null;
    const shelf = shelfOf(seenBefore, (log) => (seen = log));
    await checkLogNow(this.#api, this.#policy.policy.log, shelf);
    this.#exam = await viewExam(this.#policy.policy, this.#link);
    this.#outbox ??= await openBrowserOutbox({ name: outboxName(this.#link) });
    return { exam: this.#exam, standing: await this.#standing(), clockOffsetMs, seen };
  }

  async #standing(): Promise<Standing> {
    const outbox = this.#outbox!;
    const session = await outbox.session();
    if (!session || session.epochs.length === 0) return { state: 'none' };
    const { recordingId, openedMs, deleteByMs, closeReceipt } = session;
    if (closeReceipt) return { state: 'closed', receipt: this.#receiptView(closeReceipt) };
    const waitingBytes = outbox.backlogBytes;
    if (await isClosing(outbox, session)) return { state: 'closing', recordingId, waitingBytes };
    return { state: 'interrupted', recordingId, openedMs, deleteByMs, waitingBytes };
  }

  async start({ about, sources, hasPhoto }: StartRequest): Promise<Started> {
    const outbox = this.#outbox!;
    const exam = this.#exam!;
    const formats = new Map<CaptureSource, Awaited<ReturnType<typeof choosePictureFormat>>>();
    const tracks: OpenTrack[] = [];
    for (const { track, kind, isOff } of exam.tracks) {
      if (isOff) continue;
      if (kind === 'events') tracks.push({ track, kind: 4, codec: 'application/x-ndjson' });
      else if (kind === 'photo' && hasPhoto) tracks.push({ track, kind: 6, codec: 'image/jpeg' });
      else if (kind === 'microphone' && sources.includes(kind)) tracks.push({ track, kind: 3, codec: SOUND_CODEC });
      else if ((kind === 'webcam' || kind === 'screen') && sources.includes(kind)) {
        const format = await choosePictureFormat(kind, exam.picture);
        formats.set(kind, format);
        tracks.push({ track, kind: kind === 'webcam' ? 1 : 2, codec: `video/webm; codecs=${format.codec}` });
      }
    }
    const session = await outbox.session();
    const isResuming = session !== undefined && session.epochs.length > 0;
    const awayMs = isResuming ? await sinceLastWords(outbox, session) : null;
    const options: RecorderOptions = {
      ...this.#options(),
      tracks,
      about: { ...about },
      onProgress: (progress) => {
        this.#watchNetwork(progress.state === 'offline');
        this.#tell({ news: 'progress', progress });
        if (progress.state === 'failed') void this.#explainFailure();
      },
    };
    const recorder = await (isResuming ? Recorder.resume(options) : Recorder.open(options));
    this.#recorder = recorder;
    for (const { track, kind } of exam.tracks) {
      const queue = () =>
        new MediaQueue({
          writer: recorder.track(track),
          onLoss: (loss) => {
            if (loss.state === 'full') this.#note({ type: 'outbox_full' });
            else this.#note({ type: 'outbox_room', lost_ms: Math.round(loss.lostMs) });
            this.#tell({ news: 'lost', lostMs: loss.state === 'room' ? loss.lostMs : 0 });
          },
          onFailure: this.#fail,
        });
      const common = { mediaNow: () => recorder.mediaNow(), tell: this.#note, onFailure: this.#fail };
      if (kind === 'microphone' && tracks.some((opened) => opened.track === track)) {
        const onEnded = () => {
          this.#captureEnded(kind);
        };
        this.#tracks.set(kind, new SoundTrack({ ...common, queue: queue(), onEnded }));
      } else if (kind === 'webcam' || kind === 'screen') {
        const format = formats.get(kind);
        const onEnded = () => {
          this.#captureEnded(kind);
        };
        if (format)
          this.#tracks.set(kind, new PictureTrack({ ...common, source: kind, format, queue: queue(), onEnded }));
      }
    }
    const kinds = exam.tracks
      .filter(({ track }) => tracks.some((opened) => opened.track === track))
      .map(({ kind }) => kind);
    const facts = { tracks: kinds, rules: exam.rules, not_seen: NOT_SEEN };
    this.#note(
      isResuming ? { type: 'recording_resumed', ...facts, away_ms: awayMs } : { type: 'recording_started', ...facts },
    );
    this.#startPulse();
    return { recordingId: recorder.recordingId, deleteByMs: recorder.deleteByMs, epoch: recorder.epoch };
  }

  async attach(source: CaptureSource, device: string, frames: ReadableStream): Promise<void> {
    const track = this.#tracks.get(source);
    if (!track) throw new ClientError('track', `${source} is not recorded here`);
    await track.attach(frames);
    this.#note({ type: 'capture_started', source, device: device.slice(0, 200) });
  }

  async note(event: PageEvent): Promise<void> {
    this.#note(event);
  }

  async photo(jpeg: Uint8Array): Promise<void> {
    const track = this.#exam!.tracks.find(({ kind }) => kind === 'photo')!;
    const writer = this.#recorder!.track(track.track);
    await writer.write(jpeg, { isWhole: true });
    await writer.end();
    this.#note({ type: 'photo_taken', bytes: jpeg.length });
  }

  async pause(): Promise<void> {
    this.#pausedMs = this.#recorder!.mediaNow();
    for (const track of this.#tracks.values()) track.pause();
    this.#note({ type: 'paused' });
    await this.#recorder!.flush();
  }

  async goOn(): Promise<void> {
    const pausedMs = Math.round(this.#recorder!.mediaNow() - (this.#pausedMs ?? 0));
    this.#pausedMs = undefined;
    for (const track of this.#tracks.values()) track.goOn();
    this.#note({ type: 'continued', paused_ms: pausedMs });
  }

  async stop(): Promise<void> {
    this.#isEnding = true;
    clearInterval(this.#pulse);
    await Promise.all([...this.#tracks.values()].map((track) => track.end()));
    this.#note({ type: 'recording_ended' });
  }

  async close(): Promise<ReceiptView> {
    return this.#receiptView(await this.#recorder!.close());
  }

  async finish(): Promise<ReceiptView> {
    const options = { ...this.#options(), onProgress: this.#onFinishing };
    return this.#receiptView(await Recorder.finish(options, 1));
  }

  readonly #onFinishing: NonNullable<RecorderOptions['onProgress']> = (progress) => {
    this.#tell({ news: 'progress', progress });
  };

  #options(): Omit<RecorderOptions, 'tracks'> {
    const build = import.meta.env.ZEROREEL_BUILD;
    return {
      api: this.#api!,
      link: this.#link!,
      outbox: this.#outbox!,
      knownRules: KNOWN_RULES,
      recorderBuild: build ? fromBase64Url(build) : new Uint8Array(32),
    };
  }

  #startPulse(): void {
    const clocks = new ClockWatch();
    this.#pulse = setInterval(() => {
      for (const event of clocks.look(performance.now(), Date.now())) this.#note(event);
      for (const [source, track] of this.#tracks) {
        if (track instanceof PictureTrack) {
          track.tick();
          if (source === 'webcam') this.#tell({ news: 'picture', source, state: track.watch.state });
        } else {
          this.#tell({ news: 'sound', rmsDb: track.watch.rmsDb, isSilent: track.watch.isSilent });
        }
      }
    }, TICK_MS);
  }

  #captureEnded(source: CaptureSource): void {
    this.#note({ type: 'capture_ended', source });
    this.#tell({ news: 'ended', source });
  }

  #watchNetwork(isOffline: boolean): void {
    const now = performance.now();
    if (isOffline && this.#lostNetworkMs === undefined) {
      this.#lostNetworkMs = now;
      this.#note({ type: 'network_lost' });
    } else if (!isOffline && this.#lostNetworkMs !== undefined) {
      this.#note({ type: 'network_back', away_ms: Math.round(now - this.#lostNetworkMs) });
      this.#lostNetworkMs = undefined;
    }
  }

  /** Into the events track, where the exam has one. */
  readonly #note = (event: PageEvent): void => {
    const recorder = this.#recorder;
    const track = this.#exam?.tracks.find(({ kind, isOff }) => kind === 'events' && !isOff);
    if (!recorder || !track) return;
    const tMs = Math.round(recorder.mediaNow());
    const line = encodeEvent({ v: 1, t: tMs, ...event });
    // After an end or a failure there is no track to write to, and nothing that anybody could do about it.
    recorder
      .track(track.track)
      .write(utf8(line), { tMs, isWhole: true })
      .catch(() => undefined);
  };

  readonly #fail = (error: unknown): void => {
    // A recording at its limit ends by itself; the page sees that in its progress.
    if (this.#isEnding || (error instanceof ClientError && error.code === 'quota')) return;
    clearInterval(this.#pulse);
    this.#tell({ news: 'failed', failure: failureOf(error) });
    void this.#recorder?.suspend().catch(() => undefined);
  };

  /** The recorder knows why it failed; whoever calls it is told. */
  async #explainFailure(): Promise<void> {
    if (this.#isEnding) return;
    try {
      await this.#recorder?.flush();
    } catch (error) {
      this.#fail(error);
    }
  }

  #receiptView(receipt: Uint8Array<ArrayBuffer>): ReceiptView {
    const { sessionId, deleteByMs } = parseReceipt(receipt);
    const kept = { server: this.#link!.url, vkey: this.#policy!.policy.log.vkey, receipt };
    return { recordingId: sessionId, deleteByMs, text: formatReceipt(kept), link: receiptLink(kept) };
  }
}

/** One outbox per exam and seat: on a shared device nobody meets another's recording. */
function outboxName({ examId, ticket }: ExamLink): string {
  return `zeroreel ${examId} ${ticket ? parseTicket(ticket.ticket).seat : ''}`;
}

/** Since the last chunk was sealed: about as long as nothing was recorded. */
async function sinceLastWords(outbox: Outbox, session: OutboxSession): Promise<number | null> {
  const heads = await outbox.heads(session.epochs.at(-1)!.epoch);
  return heads ? Math.max(0, Date.now() - parseHead(lastWords(heads)).wallMs) : null;
}
