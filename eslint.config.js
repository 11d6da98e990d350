// What the compiler cannot see: floating promises, swallowed errors, and (test/tidy.test.ts) the layers.
import { defineConfig } from 'eslint/config';
import tseslint from 'typescript-eslint';

const SYNTAX = [
  { selector: 'ExportDefaultDeclaration', message: 'named exports only' },
  { selector: 'TSEnumDeclaration', message: 'a union of literals' },
];

/** Every argument of a call stands on the stack. A list that grows with the data overflows it at about 125,000 elements, and the
 *  process ends. Where something bounds the list, a line disables the rule and says what. */
const STACK = [
  {
    selector: ':matches(CallExpression, NewExpression) > SpreadElement.arguments',
    message: 'a long list as arguments overflows the stack: use a loop',
  },
  {
    selector:
      "CallExpression[callee.property.name='apply'] > :matches(Literal, Identifier[name='undefined']).arguments:first-child",
    message: 'a long list as arguments overflows the stack: use a loop',
  },
];

export default defineConfig(
  {
    ignores: [
      'dist/',
      'dist-load/',
      'coverage/',
      'node_modules/',
      'data/',
      '**/*.mjs',
      'eslint.config.js',
      'web-demo/vite.config.ts',
    ],
  },
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.strictTypeChecked],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/no-explicit-any': 'error',
      '@typescript-eslint/no-non-null-assertion': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true, allowBoolean: true }],
      // A function that takes a position needs no async to return a promise; and `async` interface methods without await are fine.
      '@typescript-eslint/require-await': 'off',
      '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
      'no-empty': ['error', { allowEmptyCatch: false }],
      'no-restricted-syntax': ['error', ...SYNTAX],
      'max-lines-per-function': ['error', { max: 70, skipBlankLines: true, skipComments: true }],
    },
  },
  {
    files: ['src/**/*.ts'],
    ignores: ['src/base/clock.ts', 'src/base/random.ts', 'src/client/**'],
    rules: {
      'no-restricted-globals': [
        'error',
        { name: 'setTimeout', message: 'take a Clock' },
        { name: 'setInterval', message: 'take a Clock' },
      ],
      'no-restricted-properties': [
        'error',
        { object: 'Date', property: 'now', message: 'take a Clock' },
        { object: 'Math', property: 'random', message: 'take randomness as a parameter' },
        { object: 'process', property: 'env', message: 'only the configuration reads the environment' },
      ],
    },
  },
  { files: ['src/**/*.ts'], rules: { 'no-restricted-syntax': ['error', ...SYNTAX, ...STACK] } },
  { files: ['src/cli/config/{config,broker-config}.ts'], rules: { 'no-restricted-properties': 'off' } },
  {
    files: ['test/**/*.ts', 'load/**/*.ts', 'deploy/**/*.ts', 'vitest*.config.ts'],
    rules: { 'max-lines-per-function': 'off', 'no-restricted-syntax': 'off' },
  },
);
