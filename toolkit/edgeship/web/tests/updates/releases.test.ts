import { expect, test } from "vitest";
import { draw } from "../../src/updates/releases.ts";
import { vectors } from "./vectors.ts";

const { draws } = vectors("cohorts") as { draws: { rollout: string; model: string; install_id: string; draw: number }[] };

test.each(draws)("the draw of $install_id in $rollout", async (vector) => {
  expect(await draw(vector.rollout, vector.model, vector.install_id)).toBe(vector.draw);
});
