// Runs before each test file: gives its tests and hooks time-outs that fit how busy the machine is now.
import { vi } from 'vitest';
import { timeLimit } from '../support/slowness.ts';

vi.setConfig({ testTimeout: timeLimit(20_000), hookTimeout: timeLimit(30_000) });
