/** One page for all: starts one subject and says when its first prediction was there, or runs all of them in turns. */
const query = new URL(location.href).searchParams;
const subjects = JSON.parse(query.get('subjects'));
const size = subjects[0].shape.reduce((product, side) => product * side, 1);

const tasks = [];
const observed = PerformanceObserver.supportedEntryTypes.includes('longtask');
if (observed) new PerformanceObserver((list) => tasks.push(...list.getEntries())).observe({ type: 'longtask', buffered: true });

/** The longest task of the main thread that began at `begun` or later; browsers tell of one some time after its end. */
async function longestSince(begun) {
  await new Promise((done) => setTimeout(done, 100));
  return Math.max(0, ...tasks.filter(({ startTime }) => startTime >= begun).map(({ duration }) => duration));
}

async function started(subject) {
  const { start } = await import(`/subjects/${subject.module}.mjs`);
  return start(subject);
}

/** Milliseconds from the navigation to the first prediction; the longest task of the main thread until then. */
async function first() {
  const predict = await started(subjects[0]);
  await predict(new Float32Array(size).fill(0.5));
  const milliseconds = performance.now();
  return { milliseconds, longest: await longestSince(0), observed };
}

/** Rounds in which the subjects take turns; then the longest task while each predicts; outputs of all samples. */
async function steady() {
  const inputs = new Float32Array(await (await fetch(query.get('inputs'))).arrayBuffer());
  const samples = Array.from({ length: inputs.length / size }, (_, k) => inputs.slice(k * size, (k + 1) * size));
  const predictors = [];
  const outputs = {};
  for (const subject of subjects) {
    const predict = await started(subject);
    const found = [];
    for (const sample of samples) found.push([...(await predict(sample.slice()))]);
    outputs[subject.name] = found;
    predictors.push({ name: subject.name, predict });
  }
  const rounds = [];
  const longest = {};
  for (let round = 0; round < Number(query.get('rounds')); round++) {
    const means = {};
    const order = predictors.map((_, k) => predictors[(k + round) % predictors.length]);
    for (const { name, predict } of order) {
      await new Promise((done) => setTimeout(done));
      // All of them together: the clocks of browsers are too coarse for one, up to 1 ms.
      const begun = performance.now();
      for (let run = 0; run < Number(query.get('runs')); run++) await predict(samples[run % samples.length].slice());
      means[name] = (performance.now() - begun) / Number(query.get('runs'));
    }
    rounds.push(means);
  }
  for (const { name, predict } of predictors) {
    await new Promise((done) => setTimeout(done));
    const begun = performance.now();
    for (const sample of samples) {
      await predict(sample.slice());
      await new Promise((done) => setTimeout(done)); // or all predictions would be one task
    }
    longest[name] = await longestSince(begun);
  }
  return { rounds, longest, outputs };
}

window.result = await (subjects.length === 1 ? first() : steady()).catch((error) => ({ error: `${error?.name}: ${error?.message ?? error}` }));
/** Keep this page for starts without a network, with the same service worker for all. */
window.keep = async () => {
  await navigator.serviceWorker.register('/sw.js');
  await navigator.serviceWorker.ready;
  return 0;
};
