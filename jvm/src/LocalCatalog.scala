package org.apache.spark.sql.aiquery

import org.apache.spark.sql.connector.catalog.DelegatingCatalogExtension

/**
 * Another name for the session's own catalog: with `spark.sql.catalog.main` set to this class, statements written for a
 * three-level name (`main.support.tickets`) run on a laptop. Not for clusters, which have a catalog of that name.
 */
class LocalCatalog extends DelegatingCatalogExtension {
  setDelegateCatalog(Versions.sessionCatalog)
}
