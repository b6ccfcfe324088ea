/** What only the controller can say: left open, visibly, rather than made up. */
export function Blank({ what }: { what: string }) {
  return <em class="blank">to be filled in by the controller: {what}</em>;
}
