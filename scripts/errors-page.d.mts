export function errorsPage(
  errors: Readonly<Record<string, { readonly retryable: boolean; readonly remedy: string }>>,
): string;
