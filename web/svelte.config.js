// Svelte settings, read by the build and by svelte-check. TypeScript in components is only types: no preprocessor.
export default {
  compilerOptions: { runes: true },
};
