import type { ComponentChildren } from 'preact';
import { useId } from 'preact/hooks';

export interface TableProps {
  caption: string;
  isCaptionHidden?: boolean;
  columns: readonly string[];
  /** The first cell of a row is its header. */
  rows: readonly { key: string; cells: readonly ComponentChildren[] }[];
  /** Stands in place of the rows where there are none. */
  empty?: string;
}

/** Scrolls sideways by itself where it is too wide, by keyboard as well, so that the page never does. */
export function Table({ caption, isCaptionHidden = false, columns, rows, empty = 'Nothing here yet.' }: TableProps) {
  const id = useId();
  return (
    <div class="table" role="region" aria-labelledby={id} tabIndex={0}>
      <table>
        <caption id={id} class={isCaptionHidden ? 'hidden-visually' : undefined}>
          {caption}
        </caption>
        <thead>
          <tr>
            {columns.map((column) => (
              <th key={column} scope="col">
                {column}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map(({ key, cells: [first, ...rest] }) => (
            <tr key={key}>
              <th scope="row">{first}</th>
              {rest.map((cell, index) => (
                <td key={columns[index + 1]}>{cell}</td>
              ))}
            </tr>
          ))}
          {rows.length === 0 && (
            <tr>
              <td colSpan={columns.length}>{empty}</td>
            </tr>
          )}
        </tbody>
      </table>
    </div>
  );
}
