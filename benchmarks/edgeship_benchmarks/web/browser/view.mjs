/** What a person sees: what is going on, how far it is, what came out. Texts are set as text, never as markup. */

const element = (id) => document.getElementById(id);

/** @param {string} title @param {string} now */
export function tell(title, now) {
  element('title').textContent = title;
  element('now').textContent = now;
  document.title = `${title} · edgeship`;
}

/**
 * @param {object} message
 * @param {string} [message.now] what is being done
 * @param {number} [message.share] how much is done, 0 to 1
 * @param {{file: string, runtime: string, ms: number|null, mark?: string, reason?: string}[]} [message.rows] results to add
 * @param {Record<string, string>} [message.facts]
 */
export function show({ now, share, rows = [], facts }) {
  if (now !== undefined) tell('Measuring', now);
  if (share !== undefined) element('bar').value = share;
  rows.forEach(addRow);
  if (facts) element('facts').replaceChildren(...Object.entries(facts).flatMap(([key, value]) => [made('dt', key.replaceAll('_', ' ')), made('dd', value)]));
}

/** @param {{title: string, now: string}} message */
export function finish({ title, now }) {
  document.body.className = 'done';
  tell(title, now);
}

function addRow({ file, runtime, ms, mark, reason }) {
  element('results').hidden = false;
  const row = document.createElement('tr');
  const what = made('td', file);
  what.append(made('span', [runtime, mark, reason].filter(Boolean).join(' · '), 'mark'));
  row.append(what, made('td', ms === null ? 'none' : `${ms < 10 ? ms.toFixed(3) : ms.toFixed(1)} ms`, ms === null ? 'number none' : 'number'));
  element('rows').append(row);
}

function made(tag, text, name = '') {
  const node = document.createElement(tag);
  node.textContent = text;
  node.className = name;
  return node;
}
