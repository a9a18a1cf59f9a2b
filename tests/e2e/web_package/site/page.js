/** Runs what the test asks for, one after another; the test's own server, which is never down, says what and takes the answer. */
const CONTROL = `http://127.0.0.1:${new URL(location.href).searchParams.get('control')}`;
const said = async (path, body) => (await fetch(`${CONTROL}${path}`, body === undefined ? {} : { method: 'POST', body: JSON.stringify(body) })).json();
const package_ = (name) => import(`/packages/${name}/index.js`);
const held = {};

/** What a load says of itself while and after it goes on. */
async function loaded({ pkg, options = {}, abortAt }) {
  const { load } = await package_(pkg);
  const events = [];
  const abort = new AbortController();
  const onProgress = (event) => {
    events.push(event);
    if (event.status === abortAt) abort.abort();
  };
  const model = await load({ ...options, onProgress, signal: abort.signal });
  return { model, events };
}

const numbers = async (name) => new Float32Array(await (await fetch(`/data/${name}`)).arrayBuffer());

/** Updates of a package that stay until the page ends. */
const followed = async ({ pkg = 'digits', root, options = {}, every = 0, line = 'digits/v1' }) => {
  const { updates } = await import(`/packages/${pkg}/updates.js`);
  held.states = [];
  held.fresh = updates({ repository: '/repo', root, line, every, onState: (state) => {
    held.states.push(state);
    held.onState?.(state);
  } });
  const { load } = await package_(pkg);
  held.load = async () => {
    held.model = await load({ ...options, updates: held.fresh });
    return { info: held.model.info, state: held.fresh.state };
  };
};
/** When a state is there. */
const reached = (fits) => new Promise((resolve) => {
  held.onState = (state) => fits(state) && resolve(state);
  if (fits(held.fresh.state)) resolve(held.fresh.state);
});
const WHOLE = { put: Cache.prototype.put, open: indexedDB.open.bind(indexedDB) };

const SCENARIOS = {
  follow: async (given) => {
    await followed(given);
    return held.load();
  },
  again: () => {
    held.model.dispose();
    return held.load();
  },
  look: async ({ abort = false }) => {
    held.states = [];
    const state = await held.fresh.update(abort ? { signal: AbortSignal.abort() } : {}).catch((error) => ({ thrown: error.name }));
    return { ...state, statuses: [...new Set(held.states.map(({ status }) => status))], current: held.fresh.state };
  },
  reached: ({ status, version }) => reached((state) => state.status === status && (version === undefined || state.next?.version === version)),
  begin: async (given) => {
    await followed(given);
    void held.load();
    await reached(({ next }) => next !== null);
    return {};
  },
  back: ({ reason }) => held.fresh.rollBack(reason),
  close: () => held.fresh.close() ?? {},
  full: ({ full }) => {
    Cache.prototype.put = full ? () => Promise.reject(new DOMException('no space', 'QuotaExceededError')) : WHOLE.put;
    return {};
  },
  blocked: () => {
    caches.open = () => Promise.reject(new DOMException('no', 'SecurityError'));
    indexedDB.open = () => {
      throw new DOMException('no', 'SecurityError');
    };
    return {};
  },
  load: async (given) => {
    const { model, events } = await loaded(given);
    held.model = model;
    return { info: model.info, events };
  },
  outputs: async ({ pkg, options, inputs, size }) => {
    const { model } = await loaded({ pkg, options });
    const all = await numbers(inputs);
    const values = [];
    for (let k = 0; k < all.length; k += size) values.push([...Object.values((await model.predict(all.slice(k, k + size))).outputs)[0].values]);
    model.dispose();
    return { info: model.info, values };
  },
  images: async ({ pkg, options, urls }) => {
    const { model } = await loaded({ pkg, options });
    const found = [];
    for (const url of urls) {
      const image = Object.assign(new Image(), { src: url }); // Firefox says of one that is used again that it is there too early
      await image.decode();
      const canvas = Object.assign(document.createElement('canvas'), { width: image.naturalWidth, height: image.naturalHeight });
      const context = canvas.getContext('2d');
      context.drawImage(image, 0, 0);
      const blob = await (await fetch(url)).blob();
      const sources = { image, canvas, blob, bitmap: await createImageBitmap(image), data: context.getImageData(0, 0, canvas.width, canvas.height) };
      const results = {};
      for (const [kind, source] of Object.entries(sources)) results[kind] = [...Object.values((await model.predict(source)).outputs)[0].values];
      const { classes } = await model.predict(image);
      found.push({ results, classes });
    }
    model.dispose();
    return found;
  },
  inputs: async ({ pkg }) => {
    const { model } = await loaded({ pkg });
    const wrong = { none: undefined, null: null, text: 'x', short: new Float32Array(3), dtype: new Float64Array(1024), name: { other: new Float32Array(1024) }, pixels: { data: new Uint8Array(3), width: 2, height: 2 }, broken: new Blob(['x']) };
    const codes = {};
    for (const [kind, given] of Object.entries(wrong)) codes[kind] = await model.predict(given).then(() => 'none', (error) => `${error.name} ${error.code} ${error.remedy !== ''}`);
    model.dispose();
    codes.disposed = await model.predict(new Float32Array(1024)).then(() => 'none', (error) => `${error.name} ${error.code} ${error.remedy !== ''}`);
    return codes;
  },
  error: async (given) => {
    try {
      const { model, events } = await loaded(given);
      return { none: model.info, events: events.length };
    } catch (error) {
      return { name: error.name, code: error.code, message: error.message, remedy: error.remedy };
    }
  },
  supplied: async ({ pkg, from }) => {
    const { load } = await package_(pkg);
    const asked = [];
    const read = async (name) => {
      asked.push(name);
      return new Uint8Array(await (await fetch(`${from}/${name}`)).arrayBuffer());
    };
    const model = await load({ updates: { read } });
    const { outputs } = await model.predict(new Float32Array(1024).fill(0.5));
    return { asked, values: [...Object.values(outputs)[0].values] };
  },
  predict: async ({ count, fill = 0.5 }) => [...Object.values((await held.model.predict(new Float32Array(count).fill(fill))).outputs)[0].values],
  /** A prediction that is aborted while its picture is read, and one with a signal that came too late. */
  stopped: async () => {
    const canvas = Object.assign(document.createElement('canvas'), { width: 40, height: 40 });
    canvas.getContext('2d').fillRect(0, 0, 40, 40);
    const abort = new AbortController();
    const under = held.model.predict(canvas, { signal: abort.signal });
    abort.abort();
    return Promise.all([under, held.model.predict(canvas, { signal: abort.signal })].map((each) => each.catch(({ name }) => name)));
  },
  dispose: () => held.model.dispose() ?? {},
  offline: async ({ pkg, script = '/sw.js', more = [] }) => {
    const { keepOffline } = await package_(pkg);
    return keepOffline(script, more).then(() => ({}), ({ name, code, remedy }) => ({ name, code, remedy }));
  },
  /** What the service worker keeps, once it has kept a path that it keeps in any case. */
  kept: async ({ path }) => {
    const cache = await caches.open('edgeship pages');
    while (path && !(await cache.match(path))) await new Promise((done) => setTimeout(done, 20));
    return (await cache.keys()).map(({ url }) => new URL(url).pathname);
  },
  ask: async ({ paths }) => (await Promise.all(paths.map(async (path) => (await fetch(path)).status))),
  script: async ({ path }) => import(path).then(() => ({})),
};

for (;;) {
  const { id, scenario, path, given } = await said('/next');
  if (scenario === 'go') {
    location.assign(`${path}${path.includes('?') ? '&' : '?'}control=${new URL(CONTROL).port}&id=${id}`);
    break;
  }
  let answer;
  try {
    answer = { id, result: await SCENARIOS[scenario](given) };
  } catch (error) {
    answer = { id, error: `${error?.name} ${error?.code ?? ''} ${error?.message ?? error}` };
  }
  await said('/answer', answer);
}
