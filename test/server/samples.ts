/** One request of each route that parses, and that the route refuses further on or answers without a lasting effect. */
import type { RouteName } from '../../src/server/http/routes.ts';
import type { TestExam, TestRecorder } from './recorder.ts';

export const HASH = 'A'.repeat(43);
const ID = 'A'.repeat(22);

/** What the paths are about. */
export interface Subject {
  exam: Pick<TestExam, 'policy'>;
  recorder: Pick<TestRecorder, 'sessionId'>;
}

interface Sample {
  /** A path that exists. */
  path: (about: Subject) => string;
  body?: () => Record<string, unknown>;
  /** Of a route that takes a browser's form. */
  form?: Record<string, string>;
}

const recording =
  (rest = '') =>
  ({ recorder }: Subject) =>
    `/v1/recordings/${recorder.sessionId}${rest}`;
const exam =
  (rest: string) =>
  ({ exam: { policy } }: Subject) =>
    `/v1/exams/${policy.exam_id}${rest}`;
const fixed = (path: string) => () => path;

export const SAMPLES: Record<RouteName, Sample> = {
  'GET /health': { path: fixed('/health') },
  'GET /ready': { path: fixed('/ready') },
  'GET /v1/service': { path: fixed('/v1/service') },
  'GET /v1/openapi.json': { path: fixed('/v1/openapi.json') },
  'GET /v1/reference': { path: fixed('/v1/reference') },
  'POST /v1/exams': { path: fixed('/v1/exams'), body: () => ({ policy: 'AAAA' }) },
  'GET /v1/exams': { path: fixed('/v1/exams') },
  'GET /v1/exams/:exam/policy': { path: exam('/policy') },
  'POST /v1/exams/:exam/recordings': {
    path: exam('/recordings'),
    body: () => ({ open: 'AAAA', wraps: ['AAAA'], shred: HASH, token_hash: HASH, notice_hash: HASH }),
  },
  'GET /v1/exams/:exam/recordings': { path: exam('/recordings') },
  'POST /v1/recordings/:id/uploads': {
    path: recording('/uploads'),
    body: () => ({ epoch: 0, chunks: [{ track: 1, seq: 1, bytes: 1000, sha256: HASH }] }),
  },
  'POST /v1/recordings/:id/heads': { path: recording('/heads'), body: () => ({ head: 'AAAA' }) },
  'GET /v1/recordings/:id/epochs/:epoch': { path: recording('/epochs/0') },
  'GET /v1/recordings/:id': { path: recording() },
  'POST /v1/recordings/:id/release': {
    path: recording('/release'),
    body: () => ({ key_id: ID, purpose: 'review' }),
  },
  'POST /v1/recordings/:id/downloads': {
    path: recording('/downloads'),
    body: () => ({ objects: [{ epoch: 0, track: 1, seq: 0 }] }),
  },
  'POST /v1/recordings/:id/grants': { path: recording('/grants'), body: () => ({ grant: 'AAAA', wrap: 'AAAA' }) },
  'GET /v1/recordings/:id/notes': { path: recording('/notes') },
  'POST /v1/recordings/:id/notes': { path: recording('/notes'), body: () => ({ note: 'AAAA' }) },
  'POST /v1/recordings/:id/exports': { path: recording('/exports'), body: () => ({ key_id: ID, kind: 'sealed' }) },
  'POST /v1/recordings/:id/erasure': { path: recording('/erasure'), body: () => ({ reason: 'student' }) },
  'POST /v1/tokens': { path: fixed('/v1/tokens'), body: () => ({ role: 'admin', label: 'x', days: 1 }) },
  'GET /v1/tokens': { path: fixed('/v1/tokens') },
  'DELETE /v1/tokens/:prefix': { path: fixed('/v1/tokens/zra_nothing_') },
  'POST /v1/setup': { path: fixed('/v1/setup'), body: () => ({ secret: 'x'.repeat(20) }) },
  'POST /v1/keys': { path: fixed('/v1/keys'), body: () => ({ document: 'AAAA' }) },
  'GET /v1/keys/:identity': { path: fixed(`/v1/keys/${HASH}`) },
  'POST /v1/sessions/challenges': { path: fixed('/v1/sessions/challenges') },
  'POST /v1/sessions': { path: fixed('/v1/sessions'), body: () => ({ token: 'x'.repeat(20) }) },
  'GET /v1/sessions/current': { path: fixed('/v1/sessions/current') },
  'DELETE /v1/sessions/current': { path: fixed('/v1/sessions/current') },
  'GET /v1/oidc/login': { path: fixed('/v1/oidc/login') },
  'GET /v1/oidc/callback': { path: fixed('/v1/oidc/callback') },
  'GET /lti/login': { path: fixed('/lti/login') },
  'POST /lti/login': { path: fixed('/lti/login'), form: { iss: 'x' } },
  'POST /v1/lti/logins': {
    path: fixed('/v1/lti/logins'),
    body: () => ({ iss: 'x', login_hint: 'x', target_link_uri: 'x', launch_key: HASH }),
  },
  'POST /lti/launch': { path: fixed('/lti/launch'), form: { id_token: 'e30.e30.AAAA', state: 'x' } },
  'POST /lti/select': {
    path: fixed('/lti/select'),
    form: { launch_key: HASH, origin: 'https://zeroreel.example', signature: 'A'.repeat(86) },
  },
  'GET /lti/jwks': { path: fixed('/lti/jwks') },
  'GET /lti/register': { path: fixed('/lti/register') },
  'POST /v1/lti/registrations': {
    path: fixed('/v1/lti/registrations'),
    body: () => ({ invitation: 'x'.repeat(20), openid_configuration: 'https://platform.example/configuration' }),
  },
  'POST /v1/lti/invitations': { path: fixed('/v1/lti/invitations') },
  'GET /v1/lti/platforms': { path: fixed('/v1/lti/platforms') },
  'POST /v1/lti/platforms': {
    path: fixed('/v1/lti/platforms'),
    body: () => ({
      ...{ label: 'x', issuer: 'https://platform.example', client_id: 'x', deployments: [] },
      ...{ auth_url: 'https://127.0.0.1:1/auth', jwks_url: 'https://127.0.0.1:1/jwks' },
    }),
  },
  'DELETE /v1/lti/platforms/:platform': { path: fixed(`/v1/lti/platforms/${ID}`) },
  'POST /v1/lti/keys': { path: fixed('/v1/lti/keys') },
  'POST /v1/jobs/purge': { path: fixed('/v1/jobs/purge') },
  'POST /v1/jobs/scrub': { path: fixed('/v1/jobs/scrub'), body: () => ({ depth: 'heads' }) },
  'GET /v1/log/proofs/:index': { path: fixed('/v1/log/proofs/0') },
  'GET /v1/receipts/:id': { path: ({ recorder }) => `/v1/receipts/${recorder.sessionId}` },
  'GET /log/checkpoint': { path: fixed('/log/checkpoint') },
  'GET /log/vkey': { path: fixed('/log/vkey') },
  'GET /log/checkpoints/:size': { path: fixed('/log/checkpoints/1') },
  'GET /log/tile/*': { path: fixed('/log/tile/0/000.p/1') },
};
