/** Elements of index.html. */

/** @throws Error where the page has no such element: page and script are of two versions */
export function element<T extends Element>(id: string, kind: new () => T): T {
  const found = document.getElementById(id);
  if (!(found instanceof kind)) throw new Error(`the page has no ${kind.name} #${id}`);
  return found;
}

/** An SVG shape. */
export function shape(name: string, attributes: Readonly<Record<string, string | number>>): SVGElement {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, String(value));
  return made;
}

/** Say something where it is read out; the same words are not said twice. */
export function say(place: Element, words: string): void {
  if (place.textContent !== words) place.textContent = words;
}

/** What a button does; while it is off nothing, though it keeps the focus, which `disabled` would take from it. */
export function acts(button: HTMLButtonElement, act: () => void): void {
  button.addEventListener("click", () => {
    if (button.ariaDisabled !== "true") act();
  });
}

export function enable(button: HTMLButtonElement, on: boolean): void {
  button.ariaDisabled = on ? null : "true";
}
