/** @file Repairs as a user would type them. */

/** Features listed in full up to so many; of more the one to go is named. */
const LISTED = 12;

/** How to leave a feature out: a `--set` that a shell takes as it stands, or words where the list would be long or empty. */
export function withoutFeature(features: readonly string[], name: string): string {
  const others = features.filter((one) => one !== name);
  if (others.length === 0) return "choose other data.features";
  if (others.length > LISTED || others.some((one) => /['"[\]{},:\n]/.test(one))) return `remove "${name}" from data.features`;
  return `--set 'data.features=[${others.join(", ")}]'`;
}
