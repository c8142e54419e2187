import cjs from './index.cjs';

export const { getLoadablePath, load } = cjs;
