/** Jobs as they run on Node: each run is counted, traced and noted. */
import type { Watchers } from './http-server.ts';

/** Runs every few seconds or less would drown the rest. */
const PULSES: ReadonlySet<string> = new Set(['publish', 'witness', 'renew']);

/** The same jobs; what they answer and throw stays as it is. */
export function watchJobs<Jobs extends Record<string, () => Promise<unknown>>>(jobs: Jobs, watchers: Watchers): Jobs {
  const watched = Object.entries(jobs).map(([name, job]) => [name, watch(name, job, watchers)]);
  return Object.fromEntries(watched) as Jobs;
}

function watch(name: string, job: () => Promise<unknown>, { log, metrics, tracing }: Watchers): () => Promise<unknown> {
  const isPulse = PULSES.has(name);
  const traced = tracing && !isPulse ? () => tracing.job(name, job) : job;
  return async () => {
    const began = performance.now();
    let isWell = false;
    try {
      const answer = await traced();
      isWell = true;
      return answer;
    } finally {
      const seconds = (performance.now() - began) / 1000;
      metrics?.ran(name, seconds, isWell);
      if (!isPulse) log.debug({ job: name, well: isWell, ms: Math.round(seconds * 1000) }, 'ran');
    }
  };
}
