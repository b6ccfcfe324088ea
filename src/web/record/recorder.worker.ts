/** The worker of the Record page: encodes, seals, keeps the outbox, uploads. What it is asked stands in messages.ts. */
import { z } from 'zod';
import { serve } from './remote.ts';
import { RecordingDesk } from './recording-desk.ts';

z.config({ jitless: true });

const tell = serve(
  new RecordingDesk((news) => {
    tell(news);
  }),
);
