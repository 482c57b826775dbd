package org.apache.spark.sql.aiquery

import org.apache.spark.sql.connector.catalog.DelegatingCatalogExtension

/**
 * A second name for the session's own catalog. With `spark.sql.catalog.main` set to this class, statements with a
 * name of three levels (`main.support.tickets`) run on a laptop. A cluster has a catalog of that name and does not
 * need it.
 */
class LocalCatalog extends DelegatingCatalogExtension {
  setDelegateCatalog(Versions.sessionCatalog)
}
