export interface Random {
  integer(from: number, to: number): number;
  chance(probability: number): boolean;
}
export function randomFrom(seed: number): Random;
