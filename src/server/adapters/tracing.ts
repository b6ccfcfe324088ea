/**
 * Traces by OpenTelemetry, sent as OTLP over HTTP. Loaded only where it is configured: its packages are optional. A trace always begins
 * here: what a client sends as `traceparent` is not believed, or anybody could have everything sampled.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import { context, type Context, type Span, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { BasicTracerProvider, BatchSpanProcessor } from '@opentelemetry/sdk-trace-base';
import type { Telemetry } from '../telemetry.ts';
import { methodOf, routeOf } from './routes-of.ts';

export interface TracingOptions {
  /** Where spans are posted, `/v1/traces` included. */
  url: string;
  /** Share of the requests that are traced, 0 to 1. */
  ratio: number;
}

export interface Tracing {
  /** Requests to the bucket, as children of what runs now. */
  telemetry: Pick<Telemetry, 'asked'>;
  /** Runs the handler of a request, of some of them in a span. */
  request(request: Pick<Request, 'method' | 'url'>, handle: () => Promise<Response>): Promise<Response>;
  /** Runs a job in a span. */
  job<Result>(name: string, run: () => Promise<Result>): Promise<Result>;
  /** Sends what is gathered, as far as the collector takes it. */
  close(): Promise<void>;
}

/** A collector that is away costs nothing but its spans: what does not fit is dropped, and a stop does not wait longer. */
const SEND_TIMEOUT_MS = 5000;

export function openTracing({ url, ratio }: TracingOptions): Tracing {
  const exporter = new OTLPTraceExporter({ url, timeoutMillis: SEND_TIMEOUT_MS });
  const provider = new BasicTracerProvider({
    resource: resourceFromAttributes({ 'service.name': 'zeroreel' }),
    spanProcessors: [new BatchSpanProcessor(exporter, { exportTimeoutMillis: SEND_TIMEOUT_MS })],
  });
  const tracer = provider.getTracer('zeroreel');
  const current = new AsyncLocalStorage<Context>();
  let running = 0;
  // A trace always begins here, so here is where it is chosen; what is not traced costs nothing.
  const isChosen = () => Math.random() < ratio;

  const within = async <Result>(span: Span, work: () => Promise<Result>): Promise<Result> => {
    running++;
    try {
      return await current.run(trace.setSpan(context.active(), span), work);
    } catch (error) {
      span.setStatus({ code: SpanStatusCode.ERROR, message: error instanceof Error ? error.name : 'error' });
      throw error;
    } finally {
      span.end();
      // In Node 20 following a context costs every promise of the process, for as long as it is on.
      if (--running === 0) current.disable();
    }
  };

  return {
    telemetry: {
      asked: (operation) => {
        const parent = current.getStore();
        // Outside of a request or a run there is nothing to be a part of.
        if (!parent) return () => undefined;
        const attributes = { 'rpc.system.name': 'aws-api', 'rpc.method': `S3/${operation}` };
        const span = tracer.startSpan(`S3/${operation}`, { kind: SpanKind.CLIENT, attributes }, parent);
        return (status) => {
          if (status !== undefined) span.setAttribute('http.response.status_code', status);
          if (status === undefined || status >= 500) span.setStatus({ code: SpanStatusCode.ERROR });
          span.end();
        };
      },
    },
    request: (asked, handle) => {
      if (!isChosen()) return handle();
      const method = methodOf(asked.method);
      const route = routeOf(method, new URL(asked.url).pathname);
      const attributes = { 'http.request.method': method, 'http.route': route };
      const span = tracer.startSpan(`${method} ${route}`, { kind: SpanKind.SERVER, attributes });
      return within(span, async () => {
        const response = await handle();
        span.setAttribute('http.response.status_code', response.status);
        if (response.status >= 500) span.setStatus({ code: SpanStatusCode.ERROR });
        return response;
      });
    },
    job: (name, run) =>
      isChosen() ? within(tracer.startSpan(`job ${name}`, { kind: SpanKind.INTERNAL }), run) : run(),
    close: () => provider.shutdown().catch(() => undefined),
  };
}
