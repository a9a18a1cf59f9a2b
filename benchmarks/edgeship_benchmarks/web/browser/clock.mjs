/** The step of `performance.now()` in milliseconds: browsers make it coarse, by their kind and by isolation. */
export function clockStep() {
  const steps = [];
  for (let k = 0; k < 20; k++) {
    const before = performance.now();
    let after = before;
    while (after === before) after = performance.now();
    steps.push(after - before);
  }
  return steps.sort((a, b) => a - b)[steps.length >> 1];
}
