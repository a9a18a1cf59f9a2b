/**
 * The page that takes work from the server and gives answers back; the models run in workers that it starts.
 *
 * Work comes as events of one stream, which also tells the server that the page is alive: `{id, op, ...}`. Answers are
 * posted: `{page, id, result}`, `{page, id, error}` or `{page, id, progress}`. Operations with a `session` go to the
 * worker of that name, which they start and `end` ends; the others are those of `HERE`.
 */
import { browserFacts, keepAwake, visibility } from './here.mjs';
import { forget, offer } from './offline.mjs';
import { finish, show, tell } from './view.mjs';

const PAGE = Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) => byte.toString(16).padStart(2, '0')).join('');
/** @type {Map<string, Worker>} */
const workers = new Map();
/** Request -> what becomes of its answer. */
const pending = new Map();
/** Requests that came already: the server sends what is open again to a page that reconnects. */
const seen = new Set();

/** What the page does itself. */
const HERE = {
  describe: async () => ({ facts: { ...(await browserFacts()), ...visibility() } }),
  show: (message) => show(message) ?? {},
  offline: ({ urls }) => offer(urls),
  renew: async () => {
    await forget();
    stream.close(); // it would connect again, and be taken for the new page
    setTimeout(() => location.reload(), 100); // after the answer
    return {};
  },
  finish: async (message) => {
    stream.close();
    await forget();
    finish(message);
    return {};
  },
};

const stream = new EventSource(`events?page=${PAGE}`);
stream.onopen = () => tell('Measuring', 'Connected. The first file is on its way.');
stream.onmessage = ({ data }) => take(JSON.parse(data));
stream.addEventListener('refused', ({ data }) => {
  stream.close();
  document.body.className = 'failed';
  tell('Not this page', JSON.parse(data).reason);
});
stream.onerror = () => {
  if (document.body.className) return;
  tell('Connection lost', 'Trying to reach the computer that asked for this measurement.');
};
addEventListener('pagehide', () => navigator.sendBeacon('bye', new Blob([JSON.stringify({ page: PAGE })], { type: 'application/json' })));
keepAwake();
show({ facts: await browserFacts() });

/** @param {{id: number, op: string, session?: string}} work */
async function take(work) {
  if (seen.has(work.id)) return;
  seen.add(work.id);
  try {
    const result = work.session ? await ask(work) : await HERE[work.op](work);
    await post({ id: work.id, result });
  } catch (error) {
    await post({ id: work.id, error: { type: error.type ?? 'EdgeshipError', message: String(error?.message ?? error), remedy: error.remedy ?? '' } });
  }
}

/** Hand a request to its worker, which is started if there is none. */
function ask(work) {
  if (work.op === 'end') return end(work.session);
  return new Promise((resolve, reject) => {
    pending.set(work.id, { resolve, reject, session: work.session });
    const created_ms = performance.timeOrigin + performance.now();
    (workers.get(work.session) ?? start(work)).postMessage({ ...work, created_ms });
  });
}

function start({ session, base }) {
  const worker = new Worker(`${base}web/browser/worker.js`);
  worker.onmessage = ({ data }) => answered(data, session);
  worker.onerror = (event) => lost(session, `its worker failed: ${event.message ?? 'it could not be loaded'}`);
  workers.set(session, worker);
  return worker;
}

function end(session) {
  workers.get(session)?.terminate();
  workers.delete(session);
  return {};
}

function answered({ id, result, error, progress }, session) {
  if (progress) {
    const open = [...pending].find(([, waiting]) => waiting.session === session);
    if (open) post({ id: open[0], progress });
    return;
  }
  const waiting = pending.get(id);
  pending.delete(id);
  if (error) waiting?.reject(error);
  else waiting?.resolve(result);
}

/** A worker that cannot go on takes its requests with it, nothing else. */
function lost(session, message) {
  for (const [id, waiting] of pending) {
    if (waiting.session !== session) continue;
    pending.delete(id);
    waiting.reject({ type: 'ChildCrashed', message });
  }
  end(session);
}

/** Post an answer; a network that fails for a moment is tried again. */
async function post(answer, attempts = 4) {
  const body = JSON.stringify({ page: PAGE, ...answer });
  for (let k = 1; ; k++) {
    try {
      await fetch('answer', { method: 'POST', body, headers: { 'content-type': 'application/json' } });
      return;
    } catch (error) {
      if (k === attempts) throw error;
      await new Promise((resolve) => setTimeout(resolve, 500 * k));
    }
  }
}
