/** The guides: where they are, and which of them helps on which page. */
export const GUIDES = [
  {
    path: '/guide/student',
    name: 'For students',
    about: 'What is recorded, who can open it, what to do when something fails.',
  },
  {
    path: '/guide/instructor',
    name: 'For instructors',
    about: 'Keys, exams, tickets, reviewing, and what to do with a finding.',
  },
  {
    path: '/guide/compliance',
    name: 'For compliance staff',
    about: 'Checking that everything is destroyed on time, and proving it.',
  },
  {
    path: '/guide/operator',
    name: 'For operators',
    about: 'Running the service: what happens by itself, and what is done by hand.',
  },
  {
    path: '/guide/dpia',
    name: 'Impact assessment',
    about: 'A template for GDPR article 35, with what is known filled in.',
  },
] as const;

export type GuidePath = (typeof GUIDES)[number]['path'];

const BY_PAGE: Readonly<Record<string, GuidePath>> = {
  '/record': '/guide/student',
  '/receipt': '/guide/student',
  '/review': '/guide/instructor',
  '/compliance': '/guide/compliance',
  '/setup': '/guide/operator',
};

/** Where help for a page begins. */
export function guideFor(page: string): { href: string; name: string } {
  const path = BY_PAGE[page];
  const guide = GUIDES.find((one) => one.path === path);
  return guide ? { href: guide.path, name: `Guide: ${guide.name.toLowerCase()}` } : { href: '/guide', name: 'Guides' };
}
