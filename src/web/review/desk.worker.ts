/** The worker that holds the keys. */
import { z } from 'zod';
import { serveCalls } from './desk-calls.ts';
import { Desk } from './desk.ts';

// zod would try `new Function` once, which the worker's policy refuses, loudly.
z.config({ jitless: true });
serveCalls(new Desk(location.origin), globalThis as unknown as Worker);
