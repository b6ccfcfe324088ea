/** Where one is in the page. It stands in the fragment, which no browser sends to any server; Back and bookmarks work. */
export type Place =
  | { name: 'exams' }
  | { name: 'new-exam' }
  | { name: 'exam'; examId: string }
  | { name: 'recording'; examId: string; recordingId: string; atMs: number };

const ID = '([A-Za-z0-9_-]{22})';

export function placeOf(hash: string): Place {
  const recording = new RegExp(`^#/exam/${ID}/recording/${ID}(?:/(\\d+))?$`).exec(hash);
  if (recording) {
    return { name: 'recording', examId: recording[1]!, recordingId: recording[2]!, atMs: Number(recording[3] ?? 0) };
  }
  const exam = new RegExp(`^#/exam/${ID}$`).exec(hash);
  if (exam) return { name: 'exam', examId: exam[1]! };
  return { name: hash === '#/new-exam' ? 'new-exam' : 'exams' };
}

export function hrefOf(place: Place): string {
  switch (place.name) {
    case 'exams':
      return '#/exams';
    case 'new-exam':
      return '#/new-exam';
    case 'exam':
      return `#/exam/${place.examId}`;
    case 'recording':
      return `#/exam/${place.examId}/recording/${place.recordingId}${place.atMs > 0 ? `/${Math.round(place.atMs)}` : ''}`;
  }
}
