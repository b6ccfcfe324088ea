/** Metrics for Prometheus. Labels are routes, methods, statuses, operations and jobs: never an id, a name or an address. */
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';
import { decodeEntry } from '../../../crypto/log/entry.ts';
import type { Ports } from '../ports.ts';
import type { Telemetry } from '../telemetry.ts';
import { methodOf, routeOf } from './routes-of.ts';

/** Recordings that are counted one by one at each scrape; beyond it is "at least so many". */
const MOST_COUNTED = 1000;

const FAST = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];
const SLOW = [0.01, 0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600];

export interface Metrics {
  telemetry: Telemetry;
  contentType: string;
  /** A request was answered; without a status the client went away first. */
  answered(request: { method?: string | undefined; url?: string | undefined }, status: number, seconds: number): void;
  /** A run of a job ended. Its label is `task`: `job` is Prometheus's own. */
  ran(task: string, seconds: number, isWell: boolean): void;
  /** Everything, in Prometheus's text format. A part that does not answer leaves its metrics out, and counts as a failed scrape. */
  text(): Promise<string>;
}

/** `freeBytes`: room on the disk of the data folder. */
export function createMetrics(ports: Ports, freeBytes: () => Promise<number>): Metrics {
  const { store, clock } = ports;
  const registry = new Registry();
  const registers = [registry];
  collectDefaultMetrics({ register: registry });

  const requests = new Counter({
    name: 'zeroreel_http_requests_total',
    help: 'Requests by route, method and status; status 0: the client went away before the answer was complete.',
    labelNames: ['method', 'route', 'status'] as const,
    registers,
  });
  const durations = new Histogram({
    name: 'zeroreel_http_request_duration_seconds',
    help: 'From the request’s headers to the end of its answer.',
    labelNames: ['method', 'route'] as const,
    buckets: FAST,
    registers,
  });
  const counter = (name: string, help: string) => new Counter({ name, help, registers });
  const gauge = (name: string, help: string) => new Gauge({ name, help, registers });
  const chunks = counter('zeroreel_chunks_acknowledged_total', 'Chunks that a receipt covers for the first time.');
  const bytes = counter('zeroreel_bytes_acknowledged_total', 'Bytes of these chunks, as they are stored.');
  const waiting = new Histogram({
    name: 'zeroreel_recorder_outbox_age_seconds',
    help: 'For how long a recorder’s oldest chunk has waited for its receipt, told by recorders with each call.',
    buckets: [1, 5, 15, 30, 60, 120, 300, 900, 3600, 14400],
    registers,
  });
  const bucketDurations = new Histogram({
    name: 'zeroreel_bucket_request_duration_seconds',
    help: 'Requests to the object store, until its headers: ok, refused (4xx) or failed (5xx, or no answer).',
    labelNames: ['operation', 'outcome'] as const,
    buckets: FAST,
    registers,
  });
  const jobDurations = new Histogram({
    name: 'zeroreel_job_duration_seconds',
    help: 'Runs of jobs.',
    labelNames: ['task'] as const,
    buckets: SLOW,
    registers,
  });
  const jobFailures = new Counter({
    name: 'zeroreel_job_failures_total',
    help: 'Runs that threw; each is in the log.',
    labelNames: ['task'] as const,
    registers,
  });
  const jobSuccess = new Gauge({
    name: 'zeroreel_job_last_success_timestamp_seconds',
    help: 'When a run last ended well here.',
    labelNames: ['task'] as const,
    registers,
  });
  const failedScrapes = new Counter({
    name: 'zeroreel_scrape_failures_total',
    help: 'Parts of a scrape that did not answer: their metrics were left out.',
    labelNames: ['part'] as const,
    registers,
  });

  const overdue = gauge(
    'zeroreel_recordings_overdue',
    `Recordings whose time to be destroyed has passed and that are not; counted up to ${MOST_COUNTED}.`,
  );
  const lag = gauge('zeroreel_purge_lag_seconds', 'For how long the oldest of these has been overdue; 0 without any.');
  const logEntries = gauge('zeroreel_log_entries', 'Entries of the retention log.');
  const published = gauge('zeroreel_log_published_entries', 'Entries that the newest checkpoint covers.');
  const unpublished = gauge(
    'zeroreel_log_oldest_unpublished_seconds',
    'Age of the oldest entry that no checkpoint covers; 0 without any.',
  );
  const free = gauge('zeroreel_data_free_bytes', 'Room on the disk of the data folder.');

  const parts: Record<string, { gauges: readonly Gauge[]; look: () => Promise<void> }> = {
    purge: {
      gauges: [overdue, lag],
      look: async () => {
        const now = clock.now();
        const due = await store.due(now, MOST_COUNTED);
        overdue.set(due.length);
        lag.set(due[0] ? (now - due[0].deleteByMs) / 1000 : 0);
      },
    },
    log: {
      gauges: [logEntries, published, unpublished],
      look: async () => {
        const covered = (await store.newestCheckpoint())?.size ?? 0;
        const [oldest] = await store.entries(covered, 1);
        logEntries.set(await store.logSize());
        published.set(covered);
        unpublished.set(oldest ? Math.max(0, clock.now() - decodeEntry(oldest.bytes).at) / 1000 : 0);
      },
    },
    disk: {
      gauges: [free],
      look: async () => {
        free.set(await freeBytes());
      },
    },
  };

  const collect = async (): Promise<string> => {
    await Promise.all(
      Object.entries(parts).map(async ([part, { gauges, look }]) => {
        try {
          await look();
        } catch {
          // What is not known is not told: a stale figure would look like a good one.
          for (const each of gauges) each.remove();
          failedScrapes.inc({ part });
        }
      }),
    );
    return registry.metrics();
  };
  let collecting: Promise<string> | undefined;

  return {
    telemetry: {
      stored: (objects, size) => {
        chunks.inc(objects);
        bytes.inc(size);
      },
      waited: (ms) => {
        waiting.observe(ms / 1000);
      },
      asked: (operation) => {
        const began = performance.now();
        return (status) => {
          const outcome = outcomeOf(status);
          bucketDurations.observe({ operation, outcome }, (performance.now() - began) / 1000);
        };
      },
    },
    contentType: registry.contentType,
    answered: ({ method: given, url = '' }, status, seconds) => {
      const method = methodOf(given);
      const route = routeOf(method, url);
      requests.inc({ method, route, status });
      durations.observe({ method, route }, seconds);
    },
    ran: (task, seconds, isWell) => {
      jobDurations.observe({ task }, seconds);
      if (isWell) jobSuccess.set({ task }, Date.now() / 1000);
      else jobFailures.inc({ task });
    },
    text: () =>
      (collecting ??= collect().finally(() => {
        collecting = undefined;
      })),
  };
}

function outcomeOf(status: number | undefined): 'ok' | 'refused' | 'failed' {
  if (status === undefined || status >= 500) return 'failed';
  // What is not there is an answer: the health check asks for an object that nobody has.
  return status < 400 || status === 404 ? 'ok' : 'refused';
}
