/** The review page: a key is unlocked, the service is told who asks, and then there are exams and recordings. */
import { useEffect, useState } from 'preact/hooks';
import { Button } from '../parts/button.tsx';
import { Frame } from '../parts/frame.tsx';
import { startWorker } from '../parts/worker.ts';
import { callsOf } from './desk-calls.ts';
import type { Desk, DeskCalls, KeyCard } from './desk.ts';
import deskUrl from './desk.worker.ts?worker&url';
import { Exam } from './exam.tsx';
import { Exams } from './exams.tsx';
import { NewExam } from './new-exam.tsx';
import { Recording } from './recording.tsx';
import { hrefOf, placeOf, type Place } from './places.ts';
import { SignIn } from './sign-in.tsx';
import { Unlock } from './unlock.tsx';

function startDesk(): DeskCalls {
  return callsOf<Desk>(startWorker(deskUrl, 'zeroreel-desk'));
}

export function Review() {
  const [desk] = useState(startDesk);
  const [card, setCard] = useState<KeyCard>();
  const [isSignedIn, setSignedIn] = useState(false);
  const [place, setPlace] = useState(() => placeOf(location.hash));

  useEffect(() => {
    const follow = (): void => {
      setPlace(placeOf(location.hash));
      // Who hears the page, or uses the keyboard, begins at the new content.
      document.getElementById('main')?.focus();
      scrollTo(0, 0);
    };
    addEventListener('hashchange', follow);
    return () => {
      removeEventListener('hashchange', follow);
    };
  }, []);

  const lock = async (): Promise<void> => {
    await desk.lock();
    // A fresh page: nothing that was decrypted is left in this one.
    location.assign('/review');
    location.reload();
  };
  const banner = card && (
    <div class="row key-banner">
      <span class="quiet" title={card.identityFingerprint}>
        Key {card.identityFingerprint.slice(0, 9)}
      </span>
      <Button isSmall onPress={() => void lock()}>
        Lock
      </Button>
    </div>
  );
  const isNarrow = !card || !isSignedIn;
  return (
    <Frame path="/review" isNarrow={isNarrow} banner={banner}>
      {!card ? (
        <Unlock desk={desk} onUnlocked={setCard} />
      ) : !isSignedIn ? (
        <SignIn
          desk={desk}
          card={card}
          onSignedIn={() => {
            setSignedIn(true);
          }}
        />
      ) : (
        <Shown desk={desk} card={card} place={place} />
      )}
    </Frame>
  );
}

function Shown({ desk, card, place }: { desk: DeskCalls; card: KeyCard; place: Place }) {
  switch (place.name) {
    case 'exams':
      return <Exams desk={desk} card={card} />;
    case 'new-exam':
      return (
        <NewExam
          desk={desk}
          card={card}
          onMade={({ examId }) => {
            location.hash = hrefOf({ name: 'exam', examId });
          }}
        />
      );
    case 'exam':
      return <Exam key={place.examId} desk={desk} examId={place.examId} />;
    case 'recording':
      return <Recording key={place.recordingId} desk={desk} {...place} />;
  }
}
