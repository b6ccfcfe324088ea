/** The shape of every guide: a lead, a list of what is on the page, sections that can be linked to, and the other guides. */
import type { ComponentChildren } from 'preact';
import { Button } from '../parts/button.tsx';
import { Frame } from '../parts/frame.tsx';
import { GUIDES, type GuidePath } from '../parts/guides.ts';

export interface GuideSection {
  /** Its fragment. */
  id: string;
  heading: string;
  body: ComponentChildren;
}

export interface GuidePageProps {
  path: GuidePath;
  title: string;
  lead: ComponentChildren;
  sections: readonly GuideSection[];
}

export function GuidePage({ path, title, lead, sections }: GuidePageProps) {
  return (
    <Frame path={path} isNarrow>
      <article class="stack guide">
        <h1>{title}</h1>
        <div class="lead">{lead}</div>
        <nav class="no-print" aria-label="On this page">
          <ul>
            {sections.map(({ id, heading }) => (
              <li key={id}>
                <a href={`#${id}`}>{heading}</a>
              </li>
            ))}
          </ul>
        </nav>
        {sections.map(({ id, heading, body }) => (
          <section key={id} class="panel" id={id} aria-labelledby={`${id}-heading`}>
            <h2 id={`${id}-heading`}>{heading}</h2>
            {body}
          </section>
        ))}
        <div class="row no-print">
          <Button
            onPress={() => {
              print();
            }}
          >
            Print this guide
          </Button>
        </div>
        <nav class="no-print" aria-label="Other guides">
          <h2>Other guides</h2>
          <GuideList except={path} />
        </nav>
      </article>
    </Frame>
  );
}

export function GuideList({ except }: { except?: GuidePath }) {
  return (
    <ul>
      {GUIDES.filter((guide) => guide.path !== except).map((guide) => (
        <li key={guide.path}>
          <a href={guide.path}>{guide.name}</a>: {guide.about}
        </li>
      ))}
    </ul>
  );
}
